//! Tables and files of Prometheus' own tests, where `SKEP_QUERY_CONFORMANCE` names their folder.

#![expect(clippy::print_stdout, reason = "what was skipped or failed is the point")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use skep_promql::{ParseOptions, format_query, promqltest};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SKEP_QUERY_CONFORMANCE").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: SKEP_QUERY_CONFORMANCE does not name a folder");
    }
    folder
}

#[test]
fn the_parse_table_is_accepted_refused_and_printed_as_prometheus_does() {
    let Some(folder) = folder() else {
        return;
    };
    let text = fs::read_to_string(folder.join("data/parse/promql.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for row in &rows {
        let (query, ok) = (row["query"].as_str().unwrap(), row["ok"].as_bool().unwrap());
        let is_default = row["ok_default"].as_bool().unwrap();
        let kind = match (ok, is_default) {
            (false, _) => "invalid",
            (true, false) => "valid, experimental",
            (true, true) => "valid",
        };
        let found = format_query(query, ParseOptions { experimental: true });
        let by_default = format_query(query, ParseOptions::default()).is_ok();
        let is_right = found.is_ok() == ok && by_default == is_default;
        let is_same = match &found {
            Ok(pretty) => row["pretty"].as_str() == Some(pretty),
            Err(error) => {
                row["error"].as_str() == Some(&format!("invalid parameter \"query\": {error}"))
            }
        };
        let count = counts.entry(kind).or_default();
        count[0] += 1;
        count[1] += usize::from(is_right);
        count[2] += usize::from(is_right && is_same);
        if !is_right || !is_same {
            let query: String = query.chars().take(200).collect();
            println!(
                "{kind}: {query:?}\n  found {found:?}, by default {by_default}\n  wanted {} {}",
                row["pretty"], row["error"]
            );
        }
    }
    for (kind, [n, n_right, n_same]) in &counts {
        println!("{kind}: {n_right} of {n} accepted or refused, {n_same} with the same text");
    }
    let n_wrong: usize = counts.values().map(|[n, n_right, _]| n - n_right).sum();
    assert_eq!(n_wrong, 0, "queries accepted or refused unlike Prometheus");
}

#[tokio::test]
async fn prometheus_own_cases_give_what_they_expect() {
    let Some(folder) = folder() else {
        return;
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join("data/promqltest"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "test"))
        .collect();
    files.sort();
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let outcomes = match promqltest::run(&fs::read_to_string(&path).unwrap()).await {
            Ok(it) => it,
            Err(error) => {
                println!("{name}: cannot be read: {error}");
                continue;
            }
        };
        let failed: Vec<_> = outcomes.iter().filter(|it| it.failure.is_some()).collect();
        println!("{name}: {} of {} passed", outcomes.len() - failed.len(), outcomes.len());
        for it in &failed {
            let failure: String = it.failure.as_deref().unwrap_or("").chars().take(600).collect();
            println!("  {name}:{} {}\n      {failure}", it.line, it.query);
        }
        for it in &outcomes {
            for tag in it.tags.iter().map(|it| it.name()).chain(["all"]) {
                let [n_all, n_passed] = counts.entry(tag).or_default();
                *n_all += 1;
                *n_passed += usize::from(it.failure.is_none());
            }
        }
    }
    for (tag, [n_all, n_passed]) in &counts {
        println!("{tag}: {n_passed} of {n_all} passed");
    }
}
