//! Whole lives of targets, in a time of their own: nothing here sleeps.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    time::Duration,
};

use async_trait::async_trait;
use expect_test::{Expect, expect};
use skep_proto::{Labels, SampleRows, TimestampNs, is_stale_marker};
use tokio::sync::watch;

use super::*;
use crate::{
    config::HttpConfig,
    fetch::{Client, FetchError, Request, Response},
    sink::SinkError,
};

/// Time that stands still until it is moved. It begins at a wall time of 1,000 s.
#[derive(Debug)]
struct Sim(watch::Sender<Duration>);

const START: Duration = Duration::from_secs(1_000);

#[async_trait]
impl Timer for Sim {
    fn now(&self) -> TimestampNs {
        TimestampNs(i64::try_from((START + *self.0.borrow()).as_nanos()).unwrap())
    }

    fn elapsed(&self) -> Duration {
        *self.0.borrow()
    }

    async fn sleep_until(&self, at: Duration) {
        let mut time = self.0.subscribe();
        time.wait_for(|it| *it >= at).await.unwrap();
    }
}

/// Targets by URL, and what they answer.
#[derive(Debug, Default, Clone)]
struct Net(Arc<Mutex<HashMap<String, Answer>>>);

#[derive(Debug, Clone)]
enum Answer {
    Body(&'static str),
    Status(&'static str),
    Silence,
}

impl Fetch for Net {
    fn client(&self, _config: &HttpConfig, _takes_gzip: bool) -> Arc<dyn Client> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Client for Net {
    async fn get(&self, request: &Request<'_>) -> Result<Response, FetchError> {
        let answer = self.0.lock().unwrap().get(request.url).cloned();
        match answer {
            Some(Answer::Body(body)) if body.len() as u64 > request.body_bytes_max => {
                Err(FetchError::BodySize)
            }
            Some(Answer::Body(body)) => Ok(Response {
                content_type: if body.starts_with('[') { "application/json" } else { "text/plain" }
                    .to_owned(),
                body: body.as_bytes().to_vec(),
            }),
            Some(Answer::Status(status)) => Err(FetchError::Status(status.to_owned())),
            Some(Answer::Silence) | None => std::future::pending().await,
        }
    }
}

/// All that was stored, by series.
#[derive(Debug, Default)]
struct Stored(Mutex<BTreeMap<Labels, Vec<(i64, f64)>>>);

#[async_trait]
impl Sink for Stored {
    async fn append(&self, rows: &SampleRows<'_>) -> Result<(), SinkError> {
        let mut stored = self.0.lock().unwrap();
        for row in rows.series() {
            let labels = Labels::from_pairs(row.labels().iter().copied()).unwrap();
            let samples = row.samples().map(|it| (it.ts.0, it.value));
            stored.entry(labels).or_default().extend(samples);
        }
        Ok(())
    }
}

/// A scraper in a world of its own.
struct World {
    dir: tempfile::TempDir,
    sim: Arc<Sim>,
    net: Net,
    stored: Arc<Stored>,
    scraper: Scraper,
    shutdown: CancellationToken,
}

impl World {
    fn new(config: &str) -> Self {
        let sim = Arc::new(Sim(watch::Sender::new(Duration::ZERO)));
        let (net, stored) = (Net::default(), Arc::new(Stored::default()));
        let shutdown = CancellationToken::new();
        let scraper = Scraper::new(
            Arc::clone(&stored) as Arc<dyn Sink>,
            Arc::new(net.clone()),
            Arc::clone(&sim) as Arc<dyn Timer>,
            shutdown.clone(),
        );
        let world = Self { dir: tempfile::tempdir().unwrap(), sim, net, stored, scraper, shutdown };
        world.configure(config);
        world
    }

    fn configure(&self, config: &str) {
        let path = self.dir.path().join("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        self.scraper.apply(&Config::load(&path).unwrap());
    }

    fn answer(&self, url: &str, answer: Answer) {
        self.net.0.lock().unwrap().insert(url.to_owned(), answer);
    }

    /// Lets all that is due happen, second by second.
    async fn pass(&self, seconds: u64) {
        settle().await;
        for _ in 0..seconds {
            self.sim.0.send_modify(|it| *it += Duration::from_secs(1));
            settle().await;
        }
    }

    /// What was stored since the last call: series whose name begins like this, as their seconds
    /// and values. Offsets are taken out: they depend on hashes.
    fn told(&self, prefix: &str) -> String {
        let mut out = String::new();
        let mut stored = self.stored.0.lock().unwrap();
        for (labels, samples) in &mut *stored {
            if labels.metric_name().starts_with(prefix) && !samples.is_empty() {
                write!(out, "{labels}").unwrap();
                for (ts, value) in samples.drain(..) {
                    let tick = ts / 10_000;
                    match is_stale_marker(value) {
                        true => write!(out, " {tick}:stale").unwrap(),
                        false => write!(out, " {tick}:{value}").unwrap(),
                    }
                }
                out.push('\n');
            }
        }
        stored.retain(|_, samples| !samples.is_empty());
        out
    }

    #[track_caller]
    fn check(&self, prefix: &str, expected: &Expect) {
        expected.assert_eq(&self.told(prefix));
    }

    fn last_errors(&self) -> Vec<String> {
        let pools = self.scraper.status();
        pools.iter().flat_map(|it| &it.active).map(|it| it.last_error.clone()).collect()
    }
}

/// Long enough for every task to come to its next wait: there is one thread, and no task waits
/// for anything but time, the network, or a file that another thread reads.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

const ONE: &str = "
global: {scrape_interval: 10s}
scrape_configs:
- job_name: j
  static_configs: [{targets: ['a:1']}]
";
const A: &str = "http://a:1/metrics";

#[tokio::test]
async fn a_target_is_scraped_once_an_interval_and_said_to_be_up() {
    let world = World::new(ONE);
    world.answer(A, Answer::Body("m 1\nn 2\n"));
    world.pass(30).await;
    world.check(
        "",
        &expect![[r#"
        m{instance="a:1", job="j"} 100:1 101:1 102:1
        n{instance="a:1", job="j"} 100:2 101:2 102:2
        scrape_duration_seconds{instance="a:1", job="j"} 100:0 101:0 102:0
        scrape_samples_post_metric_relabeling{instance="a:1", job="j"} 100:2 101:2 102:2
        scrape_samples_scraped{instance="a:1", job="j"} 100:2 101:2 102:2
        scrape_series_added{instance="a:1", job="j"} 100:2 101:0 102:0
        up{instance="a:1", job="j"} 100:1 101:1 102:1
    "#]],
    );
    world.answer(A, Answer::Body("m 1\n"));
    world.pass(10).await;
    world.check(
        "",
        &expect![[r#"
        m{instance="a:1", job="j"} 103:1
        n{instance="a:1", job="j"} 103:stale
        scrape_duration_seconds{instance="a:1", job="j"} 103:0
        scrape_samples_post_metric_relabeling{instance="a:1", job="j"} 103:1
        scrape_samples_scraped{instance="a:1", job="j"} 103:1
        scrape_series_added{instance="a:1", job="j"} 103:0
        up{instance="a:1", job="j"} 103:1
    "#]],
    );
}

#[tokio::test]
async fn a_target_that_fails_is_down_and_its_series_end() {
    let world = World::new(ONE);
    world.answer(A, Answer::Body("m 1\n"));
    world.pass(10).await;
    for (answer, error) in [
        (
            Answer::Status("503 Service Unavailable"),
            "server returned HTTP status 503 Service Unavailable",
        ),
        (Answer::Body("m x\n"), "expected value after metric, got \"x\" while parsing: \"m x\""),
        (Answer::Silence, "Get \"http://a:1/metrics\": context deadline exceeded"),
        (Answer::Body("m 2\n"), ""),
    ] {
        world.answer(A, answer);
        world.pass(20).await;
        assert_eq!(world.last_errors(), [error]);
    }
    world.check(
        "m",
        &expect![[r#"
        m{instance="a:1", job="j"} 100:1 101:stale 107:2 108:2
    "#]],
    );
    world.check(
        "up",
        &expect![[r#"
        up{instance="a:1", job="j"} 100:1 101:0 102:0 103:0 104:0 105:0 106:0 107:1 108:1
    "#]],
    );
}

#[test]
fn limits_of_body_and_job_make_scrapes_fail() {
    // One thread reads files, in the order it is asked to.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build();
    runtime.unwrap().block_on(check_limits());
}

async fn check_limits() {
    let world = World::new(
        "
scrape_configs:
- job_name: j
  scrape_interval: 10s
  body_size_limit: 4B
  target_limit: 1
  extra_scrape_metrics: true
  file_sd_configs: [{files: ['*.json']}]
",
    );
    let list = world.dir.path().join("a.json");
    std::fs::write(&list, r#"[{"targets": ["a:1"]}]"#).unwrap();
    world.answer(A, Answer::Body("m 1\nn 2\n"));
    world.pass_files(25).await;
    assert_eq!(world.last_errors(), ["body size limit exceeded"]);
    world.check(
        "scrape_body_size_bytes",
        &expect![[r#"
        scrape_body_size_bytes{instance="a:1", job="j"} 100:-1 101:-1 102:-1
    "#]],
    );
    std::fs::write(&list, r#"[{"targets": ["a:1", "b:1"]}]"#).unwrap();
    world.pass_files(25).await;
    let error = "target_limit exceeded (number of targets: 2, limit: 1)";
    assert_eq!(world.last_errors(), [error, error]);
}

#[tokio::test]
async fn a_target_that_goes_ends_its_series_two_intervals_later() {
    let world = World::new(ONE);
    world.answer(A, Answer::Body("m 1\nwith_time 1 5\n"));
    world.pass(20).await;
    world.configure("");
    assert!(world.scraper.status().is_empty());
    world.told("");
    world.pass(10).await;
    world.check("", &expect![""]);
    world.pass(15).await;
    world.check(
        "",
        &expect![[r#"
        m{instance="a:1", job="j"} 102:stale
        scrape_duration_seconds{instance="a:1", job="j"} 102:stale
        scrape_samples_post_metric_relabeling{instance="a:1", job="j"} 102:stale
        scrape_samples_scraped{instance="a:1", job="j"} 102:stale
        scrape_series_added{instance="a:1", job="j"} 102:stale
        up{instance="a:1", job="j"} 102:stale
    "#]],
    );
}

#[tokio::test]
async fn series_of_a_target_that_is_back_under_another_address_go_on() {
    let relabelled = |address: &str| {
        format!(
            "
global: {{scrape_interval: 10s}}
scrape_configs:
- job_name: j
  static_configs: [{{targets: ['{address}'], labels: {{instance: same}}}}]
"
        )
    };
    let world = World::new(&relabelled("a:1"));
    world.answer(A, Answer::Body("m 1\nonly_a 1\n"));
    world.answer("http://b:1/metrics", Answer::Body("m 2\n"));
    world.pass(20).await;
    world.configure(&relabelled("b:1"));
    world.told("");
    world.pass(40).await;
    world.check(
        "m",
        &expect![[r#"
        m{instance="same", job="j"} 102:2 103:2 104:2 105:2
    "#]],
    );
    world.check(
        "only",
        &expect![[r#"
        only_a{instance="same", job="j"} 102:stale
    "#]],
    );
    world.check(
        "up",
        &expect![[r#"
        up{instance="same", job="j"} 102:1 103:1 104:1 105:1
    "#]],
    );
}

#[tokio::test]
async fn a_job_that_stays_the_same_goes_on_undisturbed() {
    let two = format!("{ONE}- job_name: k\n  static_configs: [{{targets: ['b:1']}}]\n");
    let world = World::new(&two);
    world.answer(A, Answer::Body("m 1\n"));
    world.answer("http://b:1/metrics", Answer::Body("m 2\n"));
    world.pass(20).await;
    world.configure(&two.replace("['b:1']", "['c:1']"));
    world.told("");
    world.pass(10).await;
    world.check(
        "m",
        &expect![[r#"
        m{instance="a:1", job="j"} 102:1
    "#]],
    );
    world.pass(30).await;
    // The first job's series were never new again, and only the second's have ended.
    world.check(
        "scrape_series_added",
        &expect![[r#"
        scrape_series_added{instance="a:1", job="j"} 102:0 103:0 104:0 105:0
        scrape_series_added{instance="b:1", job="k"} 102:stale
        scrape_series_added{instance="c:1", job="k"} 102:0 103:0 104:0
    "#]],
    );
    world.check(
        "m",
        &expect![[r#"
        m{instance="a:1", job="j"} 103:1 104:1 105:1
        m{instance="b:1", job="k"} 102:stale
    "#]],
    );
}

#[tokio::test]
async fn targets_are_found_over_http_and_kept_while_the_list_is_away() {
    let world = World::new(
        "
scrape_configs:
- job_name: j
  scrape_interval: 10s
  http_sd_configs: [{url: 'http://sd/list', refresh_interval: 30s}]
  relabel_configs: [{source_labels: [drop], regex: yes, action: drop}]
",
    );
    world.answer(A, Answer::Body("m 1\n"));
    let list = r#"[{"targets":["a:1"]},{"targets":["b:1"],"labels":{"drop":"yes"}}]"#;
    world.answer("http://sd/list", Answer::Body(list));
    world.pass(20).await;
    let [pool] = &world.scraper.status()[..] else { panic!("one job") };
    assert_eq!(pool.active[0].url, A);
    assert_eq!(pool.active[0].discovered.get("__meta_url"), "http://sd/list");
    assert_eq!((pool.n_dropped, pool.dropped[0].get("__address__")), (1, "b:1"));
    world.answer("http://sd/list", Answer::Status("500 Internal Server Error"));
    world.pass(40).await;
    assert_eq!(world.scraper.status()[0].active.len(), 1);
    world.answer("http://sd/list", Answer::Body("[]"));
    world.pass(30).await;
    assert_eq!(world.scraper.status()[0].active.len(), 0);
}

#[tokio::test]
async fn at_the_servers_end_no_series_ends() {
    let world = World::new(ONE);
    world.answer(A, Answer::Body("m 1\n"));
    world.pass(20).await;
    world.told("");
    world.shutdown.cancel();
    world.scraper.wait().await;
    world.pass(60).await;
    world.check("", &expect![""]);
}

impl World {
    /// As `pass`, with time for another thread to read files.
    async fn pass_files(&self, seconds: u64) {
        for _ in 0..=seconds {
            settle().await;
            tokio::task::spawn_blocking(|| {}).await.unwrap();
            self.pass(1).await;
        }
    }
}
