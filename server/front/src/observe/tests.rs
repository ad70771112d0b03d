//! What is counted and told of requests, as text.

use std::time::Duration;

use expect_test::expect;

use super::series::{LineKey, Measured, SeriesKey};
use super::*;
use crate::clock::SystemClock;

fn observer(names: MetricNames) -> Arc<Observer> {
    let observer = Observer::new(names, Arc::new(SystemClock));
    observer.learn_hosts(["home.lan", "*.apps.home.lan"].map(str::to_owned));
    observer
}

fn measure(observer: &Observer, host: &str, code: u16, took: Duration) {
    let host = observer.series.host(host);
    let line = LineKey { server: Server::Https, handler: HandlerName::Page, host };
    observer.series.of(SeriesKey::new(line, &Method::GET, code)).measure(&Measured {
        took,
        first_byte: took / 2,
        bytes_asked: 256,
        bytes_sent: 257,
    });
}

#[test]
fn requests_are_counted_under_caddys_names_and_buckets() {
    let observer = observer(MetricNames::Caddy);
    for ms in [1, 5, 6, 20_000] {
        measure(&observer, "home.lan", 200, Duration::from_millis(ms));
    }
    let text = text::of(&observer);
    let labels = "code=\"200\",handler=\"page\",host=\"home.lan\",method=\"GET\",server=\"https\"";
    for line in [
        "caddy_http_requests_total{handler=\"page\",host=\"home.lan\",server=\"https\"} 4"
            .to_owned(),
        format!("caddy_http_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 2"),
        format!("caddy_http_request_duration_seconds_bucket{{{labels},le=\"10\"}} 3"),
        format!("caddy_http_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
        format!("caddy_http_response_duration_seconds_bucket{{{labels},le=\"0.005\"}} 3"),
        format!("caddy_http_request_size_bytes_bucket{{{labels},le=\"256\"}} 4"),
        format!("caddy_http_response_size_bytes_bucket{{{labels},le=\"256\"}} 0"),
        format!("caddy_http_response_size_bytes_sum{{{labels}}} 1028"),
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[test]
fn a_name_counts_as_it_is_configured_and_any_other_as_one() {
    let observer = observer(MetricNames::Skep);
    for host in ["home.lan", "a.apps.home.lan", "b.apps.home.lan", "evil.example"] {
        measure(&observer, host, 200, Duration::from_millis(1));
    }
    let text = text::of(&observer);
    let totals: Vec<_> =
        text.lines().filter(|it| it.starts_with("skep_http_requests_total")).collect();
    expect![[r#"
        skep_http_requests_total{handler="page",host="_other",server="https"} 1
        skep_http_requests_total{handler="page",host="home.lan",server="https"} 1
        skep_http_requests_total{handler="page",host="*.apps.home.lan",server="https"} 2"#]]
    .assert_eq(&totals.join("\n"));
}

#[test]
fn made_up_status_codes_cannot_take_all_memory() {
    let observer = observer(MetricNames::Skep);
    for host in 0..50 {
        observer.learn_hosts([format!("{host}.lan")]);
        for code in 100..200 {
            measure(&observer, &format!("{host}.lan"), code, Duration::from_millis(1));
        }
    }
    let text = text::of(&observer);
    assert_eq!(observer.series.all().len(), 4096);
    assert!(text.contains("skep_front_requests_without_labels_total 904"), "{text}");
}

/// What the counters of one request cost; the figure is printed, not asserted.
#[test]
fn counting_a_request_is_cheap() {
    let observer = observer(MetricNames::Skep);
    let started = Instant::now();
    let n_requests = 100_000;
    for _ in 0..n_requests {
        measure(&observer, "home.lan", 200, Duration::from_millis(1));
    }
    println!("{} ns a request", started.elapsed().as_nanos() / n_requests);
    let total = observer.series.all().iter().map(|(_, it)| it.sums().n_requests()).sum::<u64>();
    assert_eq!(u128::from(total), n_requests);
}
