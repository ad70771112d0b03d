//! All panels of a dashboard, asked at once as a browser does.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use skep_tests::cpu_seconds;
use tokio::{task::JoinSet, time::Instant};

use crate::queries::HOST;

/// What a browser keeps open to one server.
const N_CONNECTIONS: usize = 6;
/// The first is not counted, of the others the median.
const N_RUNS: usize = 6;
const SPAN_S: i64 = 3_600;
const STEP_S: i64 = 15;

/// The expressions of a dashboard of Grafana, or of a plain list.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let json: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let mut found = Vec::new();
    match &json {
        Value::Array(list) => found.extend(list.iter().filter_map(Value::as_str)),
        other => collect(other, &mut found),
    }
    ensure!(!found.is_empty(), "{} has no expressions", path.display());
    Ok(found.into_iter().map(with_variables).collect())
}

/// Every `expr` of a panel's targets.
fn collect<'j>(json: &'j Value, found: &mut Vec<&'j str>) {
    match json {
        Value::Array(list) => list.iter().for_each(|it| collect(it, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "expr" => found.push(text),
                    _ => collect(value, found),
                }
            }
        }
        _ => {}
    }
}

fn with_variables(expr: &str) -> String {
    let values = [
        ("$node", HOST),
        ("$job", "node"),
        ("$instance", HOST),
        ("$__rate_interval", "1m"),
        ("$__interval", "15s"),
        ("$__range", "1h"),
    ];
    values.iter().fold(expr.to_owned(), |expr, (name, value)| {
        let braced = format!("${{{}}}", name.trim_start_matches('$'));
        expr.replace(&braced, value).replace(name, value)
    })
}

/// Prints what all of it costs the server: once where it is cold.
pub(crate) async fn print_cost(
    exprs: &[String],
    url: &str,
    pid: u32,
    end_s: i64,
    is_cold: bool,
) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for _ in 0..if is_cold { 1 } else { N_RUNS } {
        let (before, started) = (cpu_seconds(pid)?, Instant::now());
        ask_all(exprs, url, end_s).await?;
        runs.push((1e3 * (cpu_seconds(pid)? - before), 1e3 * started.elapsed().as_secs_f64()));
    }
    let mut counted = runs.split_off(usize::from(!is_cold));
    counted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (cpu_ms, wall_ms) = counted.get(counted.len() / 2).copied().unwrap_or_default();
    let name = format!("the dashboard, {} expressions", exprs.len());
    println!("    {name:<42} {cpu_ms:>9.2} ({wall_ms:.2})");
    Ok(())
}

async fn ask_all(exprs: &[String], url: &str, end_s: i64) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    for n in 0..N_CONNECTIONS {
        let exprs: Vec<String> = exprs.iter().skip(n).step_by(N_CONNECTIONS).cloned().collect();
        let url = format!("{url}/api/v1/query_range");
        connections.spawn(async move {
            let http = reqwest::Client::builder().pool_max_idle_per_host(1).build()?;
            for expr in exprs {
                let form = [
                    ("query", expr.clone()),
                    ("start", (end_s - SPAN_S).to_string()),
                    ("end", end_s.to_string()),
                    ("step", STEP_S.to_string()),
                ];
                let answer = http.post(&url).form(&form).send().await?;
                let status = answer.status();
                let text = answer.text().await?;
                ensure!(status.is_success(), "{expr}: {status}: {text}");
            }
            Ok(())
        });
    }
    while let Some(joined) = connections.join_next().await {
        joined??;
    }
    Ok(())
}
