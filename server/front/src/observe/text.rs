//! The counters in Prometheus' text format, named as Caddy names them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::series::{BYTES_BOUNDS, LineKey, SECONDS_BOUNDS, SeriesKey, Sum, Sums};
use super::{Observer, Server};

pub(super) fn of(observer: &Observer) -> String {
    let mut out = String::new();
    write(observer, &mut out).expect("a String never fails");
    out
}

fn write(observer: &Observer, out: &mut String) -> std::fmt::Result {
    let prefix = format!("{}_http", observer.names.prefix());
    let all = observer.series.all();
    let all: Vec<_> =
        all.iter().map(|(key, it)| (labels(observer, *key), key, it.sums())).collect();
    write_lines(observer, out, &prefix, &all)?;
    let seconds: Vec<String> = SECONDS_BOUNDS.iter().map(f64::to_string).collect();
    let bytes: Vec<String> = BYTES_BOUNDS.iter().map(u64::to_string).collect();
    type Pick = fn(&Sums) -> &Sum;
    let histograms: [(&str, &str, &[String], f64, Pick); 4] = [
        (
            "request_duration_seconds",
            "Histogram of round-trip request durations.",
            &seconds,
            1e-9,
            |it| &it.took,
        ),
        ("request_size_bytes", "Total size of the request. Includes body", &bytes, 1.0, |it| {
            &it.asked
        }),
        (
            "response_duration_seconds",
            "Histogram of times to first byte in response bodies.",
            &seconds,
            1e-9,
            |it| &it.first_byte,
        ),
        ("response_size_bytes", "Size of the returned response.", &bytes, 1.0, |it| &it.sent),
    ];
    for (name, help, bounds, unit, pick) in histograms {
        let name = format!("{prefix}_{name}");
        head(out, &name, "histogram", help)?;
        for (labels, _key, sums) in &all {
            histogram(out, &name, labels, bounds, unit, pick(sums))?;
        }
    }
    write_connections(observer, out)
}

/// What Caddy counts without status and method.
fn write_lines(
    observer: &Observer,
    out: &mut String,
    prefix: &str,
    all: &[(String, &SeriesKey, Sums)],
) -> std::fmt::Result {
    let lines = observer.series.all_lines();
    let name = format!("{prefix}_requests_in_flight");
    head(out, &name, "gauge", "Number of requests currently handled by this server.")?;
    for (key, line) in &lines {
        writeln!(out, "{name}{{{}}} {}", line_labels(observer, *key), line.n_in_flight())?;
    }
    let name = format!("{prefix}_request_errors_total");
    head(out, &name, "counter", "Number of requests resulting in middleware errors.")?;
    for (key, line) in &lines {
        writeln!(out, "{name}{{{}}} {}", line_labels(observer, *key), line.n_failed())?;
    }
    let mut totals: BTreeMap<LineKey, u64> = BTreeMap::new();
    for (_labels, key, sums) in all {
        *totals.entry(key.line).or_default() += sums.n_requests();
    }
    let name = format!("{prefix}_requests_total");
    head(out, &name, "counter", "Counter of HTTP(S) requests made.")?;
    for (key, total) in totals {
        writeln!(out, "{name}{{{}}} {total}", line_labels(observer, key))?;
    }
    Ok(())
}

/// What Caddy does not count.
fn write_connections(observer: &Observer, out: &mut String) -> std::fmt::Result {
    let connections = &observer.connections;
    let accepted = |server| connections.accepted.of(server).load(Ordering::Relaxed);
    let closed = |server| connections.closed.of(server).load(Ordering::Relaxed);
    let name = "skep_front_connections";
    head(out, name, "gauge", "Open connections.")?;
    for server in Server::ALL {
        let n_open = accepted(server).saturating_sub(closed(server));
        writeln!(out, "{name}{{server=\"{}\"}} {n_open}", server.as_str())?;
    }
    let name = "skep_front_connections_total";
    head(out, name, "counter", "Connections that were accepted.")?;
    for server in Server::ALL {
        writeln!(out, "{name}{{server=\"{}\"}} {}", server.as_str(), accepted(server))?;
    }
    let name = "skep_front_tls_handshakes_total";
    head(out, name, "counter", "TLS handshakes that succeeded.")?;
    writeln!(out, "{name} {}", connections.handshakes.load(Ordering::Relaxed))?;
    let name = "skep_front_tls_handshake_failures_total";
    head(out, name, "counter", "TLS handshakes that failed, or were cut off as too slow.")?;
    for (reason, count) in
        [("error", &connections.handshakes_failed), ("timeout", &connections.handshakes_late)]
    {
        writeln!(out, "{name}{{reason=\"{reason}\"}} {}", count.load(Ordering::Relaxed))?;
    }
    let name = "skep_front_requests_without_labels_total";
    head(out, name, "counter", "Requests whose labels were too many to be counted each.")?;
    writeln!(out, "{name} {}", observer.series.n_uncounted())
}

pub(super) fn head(out: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// A value of a label that somebody else has written.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Host names are DNS names or IP addresses: nothing in them needs an escape.
fn line_labels(observer: &Observer, key: LineKey) -> String {
    let host = observer.series.host_name(key.host);
    let (handler, server) = (key.handler.as_str(), key.server.as_str());
    format!("handler=\"{handler}\",host=\"{host}\",server=\"{server}\"")
}

fn labels(observer: &Observer, key: SeriesKey) -> String {
    let host = observer.series.host_name(key.line.host);
    let (handler, server) = (key.line.handler.as_str(), key.line.server.as_str());
    let (code, method) = (key.code, key.method());
    format!(
        "code=\"{code}\",handler=\"{handler}\",host=\"{host}\",method=\"{method}\",server=\"{server}\""
    )
}

fn histogram(
    out: &mut String,
    name: &str,
    labels: &str,
    bounds: &[String],
    unit: f64,
    sum: &Sum,
) -> std::fmt::Result {
    let mut total = 0;
    let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
    for (bound, count) in bounds.zip(&sum.counts) {
        total += count;
        writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "samples are doubles")]
    let value = sum.sum as f64 * unit;
    writeln!(out, "{name}_sum{{{labels}}} {value}\n{name}_count{{{labels}}} {total}")
}
