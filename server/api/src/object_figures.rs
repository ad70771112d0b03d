//! Object storage's figures as text for `/metrics`, where parts are in one.

use std::fmt::Write as _;

use skep_store::ObjectStats;

use crate::{
    store_figures::{COUNTER, Family, GAUGE, one},
    telemetry::head,
};

const REQUESTS: &str = "skep_store_object_requests_total";

pub(crate) fn write_text(out: &mut String, stats: &ObjectStats) -> std::fmt::Result {
    let help = "Requests to object storage by what they were and how they ended, retries included.";
    head(out, REQUESTS, COUNTER, help)?;
    for (request, outcome, n) in stats.requests.iter().filter(|it| it.2 > 0) {
        let (request, outcome) = (request.as_str(), outcome.as_str());
        writeln!(out, "{REQUESTS}{{op=\"{request}\",status=\"{outcome}\"}} {n}")?;
    }
    for (name, kind, help, values) in families(stats) {
        head(out, name, kind, help)?;
        for (labels, value) in values {
            writeln!(out, "{name}{labels} {value}")?;
        }
    }
    Ok(())
}

fn families(stats: &ObjectStats) -> Vec<Family> {
    vec![
        (
            "skep_store_object_bytes_total",
            COUNTER,
            "Bytes to and from object storage.",
            vec![
                ("{direction=\"up\"}", stats.n_bytes_up.to_string()),
                ("{direction=\"down\"}", stats.n_bytes_down.to_string()),
            ],
        ),
        (
            "skep_store_cache_bytes",
            GAUGE,
            "Bytes of parts in the data folder, which are copies.",
            one(stats.cache_bytes),
        ),
        (
            "skep_store_cache_max_bytes",
            GAUGE,
            "object_store.cache_bytes.",
            one(stats.cache_bytes_max),
        ),
        (
            "skep_store_cache_hits_total",
            COUNTER,
            "Times that a part was wanted and in the data folder.",
            one(stats.n_cache_hits),
        ),
        (
            "skep_store_cache_misses_total",
            COUNTER,
            "Times that a part was wanted and had to be fetched.",
            one(stats.n_cache_misses),
        ),
        (
            "skep_store_cache_evictions_total",
            COUNTER,
            "Parts that left the data folder to make room for others.",
            one(stats.n_cache_evictions),
        ),
    ]
}
