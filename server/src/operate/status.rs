//! `skep-server status`: the figures that a person looks at first.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::collections::BTreeMap;

use bytesize::ByteSize;

use super::Local;

/// What is added up for each line: a name, a metric, and how its number is read.
const LINES: &[(&str, &str, Unit)] = &[
    ("series", "skep_store_series", Unit::Number),
    ("log streams", "skep_store_streams", Unit::Number),
    ("files", "skep_store_parts", Unit::Number),
    ("on the disk", "skep_store_disk_bytes", Unit::Bytes),
    ("write-ahead log", "skep_store_wal_bytes", Unit::Bytes),
    ("rows in memory", "skep_store_head_rows", Unit::Number),
    ("memory", "process_resident_memory_bytes", Unit::Bytes),
    ("requests answered", "skep_api_requests_total", Unit::Number),
    ("writes refused", "skep_receive_refused_total", Unit::Number),
    ("failed flushes", "skep_store_flush_failures_total", Unit::Number),
    ("damaged files", "skep_store_damaged_parts", Unit::Number),
];

#[derive(Debug, Clone, Copy)]
enum Unit {
    Number,
    Bytes,
}

pub(super) async fn run(server: &Local) -> anyhow::Result<()> {
    let health = server.get("/-/healthy").await?;
    println!("{:18} {}", "server", health.trim());
    println!("{:18} {}", "data", server.config.data_dir.display());
    print!("{}", table(&sums(&server.get("/metrics").await?)));
    Ok(())
}

/// Every metric of a text exposition, its series added up.
pub(super) fn sums(text: &str) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|it| !it.starts_with('#')) {
        // A label's value may hold spaces, a number none.
        let Some((series, value)) = line.trim_end().rsplit_once(' ') else { continue };
        let name = series.split(['{', ' ']).next().unwrap_or(series);
        if let Ok(value) = value.parse::<f64>() {
            *sums.entry(name).or_insert(0.0) += value;
        }
    }
    sums
}

fn table(sums: &BTreeMap<&str, f64>) -> String {
    let lines = LINES.iter().filter_map(|(what, metric, unit)| {
        let value = sums.get(metric)?;
        let value = match unit {
            Unit::Number => format!("{value:.0}"),
            Unit::Bytes => bytes(*value),
        };
        Some(format!("{what:18} {value}\n"))
    });
    lines.collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of bytes, for a person"
)]
fn bytes(value: f64) -> String {
    ByteSize::b(value.max(0.0) as u64).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn figures_are_added_up_and_named() {
        let text = "# HELP skep_store_series Series known.\nskep_store_series 12\n\
                    skep_store_disk_bytes{table=\"a b\"} 1048576\n\
                    skep_store_disk_bytes{table=\"logs\"} 1048576\nother 3\n";
        expect![[r"
            series             12
            on the disk        2.0 MiB
        "]]
        .assert_eq(&table(&sums(text)));
    }
}
