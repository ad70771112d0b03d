//! Queries whose cost is measured: what dashboards and people ask.

use anyhow::{Context as _, ensure};
use skep_tests::{
    cpu_seconds,
    load::{NEEDLE_ALL_HOSTS, NEEDLE_ONE_HOST},
};
use tokio::time::Instant;

use crate::measure::as_f64;

/// A figure is taken over so much CPU time at least, since the kernel counts in hundredths.
const CPU_S_MIN: f64 = 0.3;
const RUNS_MAX: u32 = 200;

/// A question, asked over the newest `span_s` seconds.
pub(crate) struct Question {
    pub(crate) name: &'static str,
    api: Api,
    query: String,
    span_s: i64,
    /// 0 for an instant query.
    step_s: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Prometheus,
    Loki {
        limit: u32,
    },
    LokiInstant,
    /// Names or values of labels, or series; the query is `match[]`, if there is one.
    Labels {
        path: &'static str,
    },
}

/// Milliseconds a run, median wall and mean CPU of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_ms: f64,
    pub(crate) wall_ms: f64,
}

const HOUR: i64 = 3_600;

/// The host that is asked about where it is one.
pub(crate) const HOST: &str = "host-007:9100";

/// What is asked about samples; `span_s` is how far they reach back.
pub(crate) fn about_samples(span_s: i64) -> Vec<Question> {
    let range = |name, query: &str, span_s, step_s| Question {
        name,
        api: Api::Prometheus,
        query: query.replace("$host", HOST),
        span_s,
        step_s,
    };
    let labels = |name, path, query: &str| Question {
        name,
        api: Api::Labels { path },
        query: query.replace("$host", HOST),
        span_s,
        step_s: 0,
    };
    let hour = span_s.min(HOUR);
    vec![
        range("one gauge, one host, 15 m", "node_load1{instance=\"$host\"}", 900, 15),
        range(
            "cpu by mode, one host, 1 h",
            "sum by (mode) (rate(node_cpu_seconds_total{instance=\"$host\"}[1m]))",
            hour,
            15,
        ),
        range(
            "disk time, one host, 1 h",
            "rate(node_disk_io_time_seconds_total{instance=\"$host\"}[1m])",
            hour,
            15,
        ),
        range(
            "memory used, all hosts (vector match)",
            "100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
            span_s,
            30,
        ),
        range(
            "cpu busy by host, all hosts",
            "sum by (instance) (rate(node_cpu_seconds_total{mode!=\"idle\"}[5m]))",
            span_s,
            30,
        ),
        range(
            "topk(10) received, all hosts",
            "topk(10, sum by (instance) (rate(node_network_receive_bytes_total[5m])))",
            span_s,
            30,
        ),
        range(
            "histogram_quantile, all hosts",
            "histogram_quantile(0.95, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
            span_s,
            30,
        ),
        range("failed units (instant)", "node_systemd_unit_state{state=\"failed\"} == 1", 0, 0),
        range("count all series (instant)", "count({__name__=~\".+\"})", 0, 0),
        range("states of all units, all hosts, 1 h", "node_systemd_unit_state", hour, 60),
        labels("label values instance", "/api/v1/label/instance/values", ""),
        labels("label values __name__", "/api/v1/label/__name__/values", ""),
        labels("label names", "/api/v1/labels", ""),
        labels(
            "label values of a selector",
            "/api/v1/label/nodename/values",
            "node_uname_info{job=\"node\"}",
        ),
        labels("series of one host", "/api/v1/series", "{instance=\"$host\"}"),
    ]
}

/// What is asked about lines.
pub(crate) fn about_lines(span_s: i64) -> Vec<Question> {
    let ask = |name, query: String, limit, step_s| Question {
        name,
        api: Api::Loki { limit },
        query,
        span_s,
        step_s,
    };
    let all = "{unit=~\".+\"}";
    vec![
        ask("needle, one host", format!("{{host=\"h7\"}} |= \"{NEEDLE_ONE_HOST}\""), 1_000, 0),
        ask("needle, all streams", format!("{all} |= \"{NEEDLE_ALL_HOSTS}\""), 1_000, 0),
        ask("absent, all streams", format!("{all} |= \"zzz-no-such-text-qqq\""), 1_000, 0),
        ask("(?i) regex, all streams", format!("{all} |~ \"(?i)out of memory\""), 100, 0),
        ask("newest 1,000 of a host", "{host=\"h3\"}".to_owned(), 1_000, 0),
        ask("newest 1,000 of all", all.to_owned(), 1_000, 0),
        ask(
            "json, status >= 500, newest 100",
            "{unit=\"api.service\"} | json | status >= 500".to_owned(),
            100,
            0,
        ),
        ask(
            "json, status >= 500, per 5 m by host",
            "sum by (host) (count_over_time({unit=\"api.service\"} | json | status >= 500 [5m]))"
                .to_owned(),
            0,
            300,
        ),
        ask("count per 5 m by unit", format!("sum by (unit) (count_over_time({all}[5m]))"), 0, 300),
        ask(
            "volume: count per 1 m by level",
            format!("sum by (level) (count_over_time({all}[1m]))"),
            0,
            60,
        ),
        ask(
            "volume as Explore asks for it",
            format!(
                "sum by (level, detected_level) (count_over_time({all} | drop __error__ [1m]))"
            ),
            0,
            60,
        ),
        ask(
            "rate of errors by host",
            "sum by (host) (rate({level=\"err\"}[5m]))".to_owned(),
            0,
            300,
        ),
        ask("bytes by unit per 5 m", format!("sum by (unit) (bytes_over_time({all}[5m]))"), 0, 300),
        ask(
            "logfmt, quantile of a duration per 5 m",
            "quantile_over_time(0.95, {unit=\"worker.service\"} | logfmt \
             | unwrap duration(duration) | __error__=\"\" [5m]) by (task)"
                .to_owned(),
            0,
            300,
        ),
        Question {
            name: "nginx pattern, topk of 5xx by path",
            api: Api::LokiInstant,
            query: format!(
                "topk(10, sum by (path) (count_over_time({{unit=\"nginx.service\"}} | pattern \
                 `<_> - <_> [<_>] \"<_> <path> <_>\" <status> <_>` | status >= 500 [{span_s}s])))"
            ),
            span_s: 0,
            step_s: 0,
        },
    ]
}

impl Question {
    /// What one run costs, the first one not counted unless `is_cold`, which is one run only.
    pub(crate) async fn cost(
        &self,
        url: &str,
        pid: u32,
        end_s: i64,
        is_cold: bool,
    ) -> anyhow::Result<Cost> {
        let http = reqwest::Client::new();
        if !is_cold {
            self.ask(&http, url, end_s).await?;
        }
        let before = cpu_seconds(pid)?;
        let mut walls = Vec::new();
        loop {
            let started = Instant::now();
            self.ask(&http, url, end_s).await?;
            walls.push(started.elapsed().as_secs_f64() * 1e3);
            let spent = cpu_seconds(pid)? - before;
            let n_runs = u32::try_from(walls.len())?;
            if is_cold || spent >= CPU_S_MIN && n_runs >= 3 || n_runs >= RUNS_MAX {
                walls.sort_by(f64::total_cmp);
                let wall_ms = walls.get(walls.len() / 2).copied().unwrap_or_default();
                return Ok(Cost { cpu_ms: spent * 1e3 / f64::from(n_runs), wall_ms });
            }
        }
    }

    /// How many values the answer holds.
    pub(crate) async fn ask(
        &self,
        http: &reqwest::Client,
        url: &str,
        end_s: i64,
    ) -> anyhow::Result<u64> {
        Ok(n_values(&self.answer(http, url, end_s, &[]).await?))
    }

    /// How many samples our server reads to answer it: what a query costs goes by these, since an
    /// aggregation answers with as many values however much it adds up.
    pub(crate) async fn n_samples_read(
        &self,
        http: &reqwest::Client,
        url: &str,
        end_s: i64,
    ) -> anyhow::Result<u64> {
        let text = self.answer(http, url, end_s, &[("stats", "all")]).await?;
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        let n_samples = answer.pointer("/data/stats/samples/samplesRead");
        n_samples.and_then(serde_json::Value::as_u64).context("no statistics in the answer")
    }

    async fn answer(
        &self,
        http: &reqwest::Client,
        url: &str,
        end_s: i64,
        more: &[(&'static str, &str)],
    ) -> anyhow::Result<String> {
        let mut params = vec![];
        match self.api {
            Api::Labels { .. } if self.query.is_empty() => {}
            Api::Labels { .. } => params.push(("match[]", self.query.clone())),
            Api::Prometheus | Api::Loki { .. } | Api::LokiInstant => {
                params.push(("query", self.query.clone()));
            }
        }
        params.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let (start, end) = ((end_s - self.span_s).to_string(), end_s.to_string());
        let path = match self.api {
            Api::Prometheus if self.step_s == 0 => {
                params.push(("time", (end_s - 1).to_string()));
                "/api/v1/query"
            }
            Api::Prometheus => "/api/v1/query_range",
            Api::LokiInstant => {
                params.push(("time", end.clone()));
                "/loki/api/v1/query"
            }
            Api::Loki { limit } => {
                params.push(("limit", limit.max(1).to_string()));
                "/loki/api/v1/query_range"
            }
            Api::Labels { path } => path,
        };
        if !path.ends_with("/query") {
            params.extend([("start", start), ("end", end)]);
            if self.step_s > 0 {
                params.push(("step", self.step_s.to_string()));
            }
        }
        let answer = http.get(format!("{url}{path}")).query(&params).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{}: {status}: {text}", self.query);
        Ok(text)
    }
}

/// Values and lines of an answer, in either API's shape.
fn n_values(text: &str) -> u64 {
    let Ok(answer) = serde_json::from_str::<serde_json::Value>(text) else { return 0 };
    let result = answer.pointer("/data/result").and_then(|it| it.as_array());
    let of_series = |it: &serde_json::Value| {
        it.get("values").and_then(|it| it.as_array()).map_or(1, |it| it.len() as u64)
    };
    result.map_or(0, |it| it.iter().map(of_series).sum())
}

/// CPU nanoseconds for each of so many.
pub(crate) fn ns_for_each(cost: Cost, n: u64) -> f64 {
    cost.cpu_ms * 1e6 / as_f64(n.max(1))
}
