//! Appends and deletes, told to the model as they went.

use std::sync::Arc;

use skep_proto::{
    HistogramRows, HistogramSample, KeyedRow, KnownSeries as _, LogRow, LogRows, Matcher,
    NativeHistogram, Sample, SampleRows, Span, TimeRange, TimestampMs, TimestampNs,
};

use super::{
    HOSTS, HOUR_MS, World,
    model::{HISTOGRAM, LogRowKey, SampleKey},
};
use crate::{LabelsOf, Store};

const METRICS: [&str; 3] = ["up", "node_load1", "node_cpu_seconds_total"];
/// It does not compress.
const LARGE_LINE_BYTES: usize = 16 << 10;
const NOISE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
/// Empty for none.
const JOBS: [&str; 5] = ["", "", "a", "b", "c"];

impl World {
    /// Mostly of these minutes, so that rows meet; now and then late.
    fn ts(&mut self) -> i64 {
        let late_hours = [0, 0, 0, 0, 0, 7, 30][self.random.below(7)];
        let late_hours = if self.is_of_one_day { 0 } else { late_hours };
        self.now_ms() + 5_000 * self.random.below(60) as i64 - late_hours * HOUR_MS
    }

    fn value(&mut self) -> f64 {
        match self.random.below(6) {
            0 => skep_proto::stale_marker(),
            1 => -0.0,
            2 => std::f64::consts::PI * self.random.below(100) as f64,
            3 => self.random.below(1000) as f64 / 100.0,
            _ => self.random.below(1000) as f64,
        }
    }

    /// Under a cap lines take room.
    fn noise(&mut self) -> String {
        let is_large = self.config.max_bytes.is_some() && self.random.is_one_in(2);
        let n_bytes = if is_large { LARGE_LINE_BYTES } else { 0 };
        (0..n_bytes).map(|_| char::from(NOISE[self.random.below(NOISE.len())])).collect()
    }

    pub(super) async fn append_samples(&mut self, store: &Arc<Store>) {
        let mut written = Vec::new();
        let mut rows = SampleRows::default();
        let mut known = store.known_series();
        for _ in 0..1 + self.random.below(4) {
            let metric = METRICS[self.random.below(3)];
            let host = HOSTS[self.random.below(3)];
            let samples: Vec<_> = (0..1 + self.random.below(4))
                .map(|_| Sample { ts: TimestampMs(self.ts()), value: self.value() })
                .collect();
            // Two senders that spell in their own ways.
            let sender = ["", " "][self.random.below(2)];
            // Label sets come and go.
            let job = JOBS[self.random.below(JOBS.len())];
            for sample in &samples {
                let key = (series_name(metric, host, job), sample.ts.0);
                written.push((key, sample.value.to_bits()));
                rows.push_sample(sample.ts.0, sample.value.to_bits());
            }
            let spelling = [metric, host, job, sender].concat();
            let fingerprint = known.secret().fingerprint(spelling.as_bytes());
            match known.find(fingerprint) {
                Some(series) => rows.end_known(series),
                None => {
                    let labels = [("__name__", metric), ("host", host), ("job", job)];
                    let n_labels = if job.is_empty() { 2 } else { 3 };
                    rows.end_unknown(labels.into_iter().take(n_labels), Some(fingerprint));
                }
            }
        }
        drop(known);
        let is_acked = store.append_samples(&rows).await.is_ok();
        let oldest_ms = self.oldest_ms();
        for (key, bits) in written.into_iter().filter(|it| it.0.1 >= oldest_ms) {
            self.heads.samples.insert(key.clone());
            self.model.sample(key, bits, is_acked);
        }
    }

    pub(super) async fn append_histograms(&mut self, store: &Arc<Store>) {
        let mut written = Vec::new();
        let mut rows = HistogramRows::default();
        for _ in 0..1 + self.random.below(3) {
            let metric = METRICS[self.random.below(3)];
            let host = HOSTS[self.random.below(3)];
            let job = JOBS[self.random.below(JOBS.len())];
            let n_histograms = 1 + self.random.below(4);
            let mut histograms = Vec::new();
            for _ in 0..n_histograms {
                let it = histogram(self.value());
                let ts = self.ts();
                let series = series_name(metric, host, job) + HISTOGRAM;
                written.push(((series, ts), it.sum.to_bits()));
                histograms.push(HistogramSample { ts: TimestampMs(ts), histogram: it.into() });
            }
            let labels = [("__name__", metric), ("host", host), ("job", job)];
            let labels = labels.into_iter().filter(|it| !it.1.is_empty()).collect();
            rows.series.push(KeyedRow::of_unknown(labels, None, histograms));
        }
        let is_acked = store.append_histograms(&rows).await.is_ok();
        let oldest_ms = self.oldest_ms();
        for (key, bits) in written.into_iter().filter(|it| it.0.1 >= oldest_ms) {
            self.heads.samples.insert(key.clone());
            self.model.sample(key, bits, is_acked);
        }
    }

    pub(super) async fn append_logs(&mut self, store: &Arc<Store>) {
        let mut written = Vec::new();
        let mut rows = LogRows::default();
        for _ in 0..1 + self.random.below(3) {
            let host = HOSTS[self.random.below(3)];
            let entries: Vec<_> = (0..1 + self.random.below(4))
                .map(|_| {
                    let ts = self.ts() * 1_000_000 + self.random.below(3) as i64;
                    let line = format!("line {}", self.random.below(4)) + &self.noise();
                    let level = ["info", "error"][self.random.below(2)];
                    written.push((
                        format!("{{host=\"{host}\"}}"),
                        ts,
                        line.clone(),
                        vec![("level".to_owned(), level.to_owned())],
                    ));
                    LogRow {
                        ts: TimestampNs(ts),
                        line: line.into(),
                        metadata: vec![("level".into(), level.into())],
                    }
                })
                .collect();
            rows.streams.push((vec![("host".into(), host.into())], entries));
        }
        let is_acked = store.append_logs(&rows).await.is_ok();
        let oldest_ns = self.oldest_ms().saturating_mul(1_000_000);
        for row in written.into_iter().filter(|it| it.1 >= oldest_ns) {
            self.heads.logs.insert(row.clone());
            self.model.log(row, is_acked);
        }
    }

    pub(super) async fn delete(&mut self, store: &Arc<Store>) {
        let host = HOSTS[self.random.below(3)];
        let metric = METRICS[self.random.below(3)];
        let (a, b) = (self.ts(), self.ts());
        let range = match self.random.below(3) {
            0 => TimeRange::ALL,
            _ => TimeRange { start: TimestampMs(a.min(b)), end: TimestampMs(a.max(b)) },
        };
        let mut matchers = vec![Matcher::equal("host", host)];
        let is_acked;
        if self.random.is_one_in(2) {
            if self.random.is_one_in(2) {
                matchers.push(Matcher::equal("__name__", metric));
            }
            let by_metric = matchers.len() == 2;
            let deleted = store.delete(LabelsOf::Series, &[matchers], "samples", range).await;
            println!("delete {host} {by_metric} {range:?}: {deleted:?}");
            is_acked = deleted.is_ok();
            let is_deleted = |(series, ts): &SampleKey| {
                series.contains(&format!("host=\"{host}\""))
                    && (!by_metric || series.starts_with(&format!("{metric}{{")))
                    && range.contains(TimestampMs(*ts))
            };
            self.model.delete_samples(is_deleted, is_acked);
        } else {
            let deleted = store.delete(LabelsOf::Streams, &[matchers], "logs", range).await;
            println!("delete {host} {range:?}: {deleted:?}");
            is_acked = deleted.is_ok();
            let (start, end) = (range.start.to_ns().0, range.end.to_ns().0);
            let is_deleted = |(stream, ts, ..): &LogRowKey| {
                *stream == format!("{{host=\"{host}\"}}") && start <= *ts && *ts <= end
            };
            self.model.delete_logs(is_deleted, is_acked);
        }
        self.may_list_more |= !is_acked;
    }
}

/// The one of this sum.
pub(super) fn histogram(sum: f64) -> NativeHistogram {
    let span = |offset, length| Span { offset, length };
    let n_buckets = sum.to_bits() % 5;
    let counts: Vec<f64> = (0..n_buckets).map(|it| it as f64 + sum.abs()).collect();
    NativeHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 7.0,
        count: counts.iter().sum::<f64>() + 7.0,
        sum,
        negative_spans: vec![span(-3, 0), span(2, u32::try_from(n_buckets).unwrap())],
        negative: counts,
        ..NativeHistogram::default()
    }
}

fn series_name(metric: &str, host: &str, job: &str) -> String {
    if job.is_empty() {
        return format!("{metric}{{host=\"{host}\"}}");
    }
    format!("{metric}{{host=\"{host}\", job=\"{job}\"}}")
}
