//! How the servers behind the sites are doing, in Prometheus' text format; named as Caddy names it
//! where it does.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::text::{escape, head};
use crate::config::MetricNames;
use crate::vhost::SiteUpstream;

/// Of a server that several routes of a site lead to, all of them.
struct Standing {
    is_healthy: bool,
    n_requests: u64,
    n_failures: u64,
}

pub(super) fn of(names: MetricNames, all: &[SiteUpstream]) -> String {
    let mut standings: BTreeMap<(&str, &str), Standing> = BTreeMap::new();
    for SiteUpstream { site, status } in all {
        let standing = standings.entry((site, &status.upstream)).or_insert(Standing {
            is_healthy: true,
            n_requests: 0,
            n_failures: 0,
        });
        standing.is_healthy &= status.is_up && !status.is_shunned;
        standing.n_requests += status.n_requests;
        standing.n_failures += status.n_failures;
    }
    let mut out = String::new();
    if !standings.is_empty() {
        write(names, &standings, &mut out).expect("a String never fails");
    }
    out
}

fn write(
    names: MetricNames,
    all: &BTreeMap<(&str, &str), Standing>,
    out: &mut String,
) -> std::fmt::Result {
    type Figure = fn(&Standing) -> u64;
    let healthy = format!("{}_reverse_proxy_upstreams_healthy", names.prefix());
    let families: [(&str, &str, &str, Figure); 3] = [
        (&healthy, "gauge", "Health status of reverse proxy upstreams.", |it| {
            u64::from(it.is_healthy)
        }),
        (
            "skep_front_upstream_requests_total",
            "counter",
            "Tries to get an answer from a server behind a site.",
            |it| it.n_requests,
        ),
        ("skep_front_upstream_failures_total", "counter", "Tries that brought no answer.", |it| {
            it.n_failures
        }),
    ];
    for (name, kind, help, figure) in families {
        head(out, name, kind, help)?;
        for ((site, upstream), standing) in all {
            let (site, upstream) = (escape(site), escape(upstream));
            let value = figure(standing);
            writeln!(out, "{name}{{site=\"{site}\",upstream=\"{upstream}\"}} {value}")?;
        }
    }
    Ok(())
}
