//! What the process may take and takes, as text for `/metrics`.

use std::fmt::Write as _;

use crate::{store_figures::GAUGE, telemetry::head};

const PAGE_BYTES: u64 = 4096;

/// Prometheus' text format, added to `out`.
pub(crate) fn push_text(out: &mut String, limits: &[(&'static str, u64)]) {
    write_text(out, limits).expect("a String never fails");
}

fn write_text(out: &mut String, limits: &[(&'static str, u64)]) -> std::fmt::Result {
    let name = "skep_memory_limit_bytes";
    head(out, name, GAUGE, "What each part of the process may take; of=\"all\" is memory.limit.")?;
    for (of, n_bytes) in limits {
        writeln!(out, "{name}{{of=\"{of}\"}} {n_bytes}")?;
    }
    if let Some(n_bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        head(out, name, GAUGE, "What the process takes.")?;
        writeln!(out, "{name} {n_bytes}")?;
    }
    Ok(())
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<u64>().ok()?.checked_mul(PAGE_BYTES)
}
