//! `skep-server doctor`: what is wrong, and what to do about it; one line a finding.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::{collections::BTreeMap, path::Path};

use super::{Local, status::sums};
use crate::{check, config::Config, data_version};

/// Metrics that are above zero only if something is wrong, and what to do then.
const ALARMS: &[(&str, &str, &str)] = &[
    (
        "damaged files",
        "skep_store_damaged_parts",
        "queries go on without them; look at the disk, then at \"A damaged file\" in the guide",
    ),
    (
        "flushes",
        "skep_store_flush_failures_total",
        "rows could not be written; look at the disk and the log",
    ),
    (
        "write-ahead log",
        "skep_store_wal_failures_total",
        "writes were refused; look at the disk and the log",
    ),
];

/// What was looked at and how it is.
struct Finding {
    is_well: bool,
    subject: &'static str,
    text: String,
}

/// Whether all is well.
pub(super) async fn run(path: &Path) -> anyhow::Result<bool> {
    let findings = match Config::load(path) {
        Ok(config) => examine(path, &config).await,
        Err(error) => vec![bad("configuration", format!("{error:#}"))],
    };
    for Finding { is_well, subject, text } in &findings {
        println!("{:3}  {subject:16}  {text}", if *is_well { "ok" } else { "BAD" });
    }
    Ok(findings.iter().all(|it| it.is_well))
}

async fn examine(path: &Path, config: &Config) -> Vec<Finding> {
    let mut findings = vec![well("configuration", path.display().to_string())];
    findings.push(match data_version::check(&config.data_dir) {
        Ok(()) => well("data", config.data_dir.display().to_string()),
        Err(error) => bad("data", error.to_string()),
    });
    findings.push(match check::warnings(config) {
        Ok(warnings) if warnings.is_empty() => well("certificates", "none ends soon".to_owned()),
        Ok(warnings) => bad("certificates", warnings.join("; ")),
        Err(error) => bad("certificates", format!("{error:#}")),
    });
    let asked = async {
        let server = Local::open(path)?;
        let health = server.get("/-/healthy").await?;
        anyhow::Ok((health, server.get("/metrics").await?))
    };
    match asked.await {
        Ok((health, metrics)) => {
            let is_well = !health.contains("disk is full");
            findings.push(Finding { is_well, subject: "server", text: health.trim().to_owned() });
            findings.extend(alarms(&sums(&metrics)));
        }
        Err(error) => findings.push(bad("server", format!("{error:#}"))),
    }
    findings
}

fn alarms(sums: &BTreeMap<&str, f64>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = ALARMS
        .iter()
        .map(|(subject, metric, advice)| match sums.get(metric) {
            Some(value) if *value > 0.0 => bad(subject, format!("{metric} is {value}: {advice}")),
            _none => well(subject, "no failure".to_owned()),
        })
        .collect();
    findings.push(match sums.get("skep_config_last_reload_successful") {
        Some(0.0) => bad(
            "reload",
            "the configuration was changed to a wrong one and does not count; `skep-server check` \
             says why"
                .to_owned(),
        ),
        _good => well("reload", "the configuration counts".to_owned()),
    });
    findings
}

fn well(subject: &'static str, text: String) -> Finding {
    Finding { is_well: true, subject, text }
}

fn bad(subject: &'static str, text: String) -> Finding {
    Finding { is_well: false, subject, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_is_an_alarm() {
        let sums = sums("skep_store_damaged_parts 2\nskep_config_last_reload_successful 0\n");
        let wrong: Vec<_> =
            alarms(&sums).into_iter().filter(|it| !it.is_well).map(|it| it.subject).collect();
        assert_eq!(wrong, ["damaged files", "reload"]);
    }
}
