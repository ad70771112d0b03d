//! Parses the queries of a conformance table (`SKEP_QUERY_CONFORMANCE` names its folder) and
//! compares verdict, text and error with what Loki answered.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

#[test]
fn queries_parse_and_print_as_in_loki() {
    let Some(folder) = std::env::var_os("SKEP_QUERY_CONFORMANCE").map(PathBuf::from) else {
        println!("skipped: SKEP_QUERY_CONFORMANCE names no folder with data/parse/logql.json");
        return;
    };
    let path = folder.join("data/parse/logql.json");
    let text = std::fs::read_to_string(&path).expect("the table can be read");
    let table: Vec<Value> = serde_json::from_str(&text).expect("the table is a JSON list");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failures = Vec::new();
    for row in &table {
        let query = row["query"].as_str().expect("every row has a query");
        let (ok, pretty) = (row["ok"] == true, row["pretty"].as_str().unwrap_or_default());
        let kind = match skep_logql::parse(query) {
            Ok(expr) if ok && skep_logql::pretty(&expr) == pretty => "same text",
            Ok(expr) if ok => {
                println!(
                    "{query:?}\n  prints {:?}\n  Loki   {pretty:?}",
                    skep_logql::pretty(&expr)
                );
                "other text"
            }
            Err(error) if !ok && row["error"] == error.to_string() => "same error",
            Err(error) if !ok => {
                println!("{query:?}\n  says {error}\n  Loki {}", row["error"]);
                "other error"
            }
            result => {
                failures.push(format!(
                    "{query:?}: {}",
                    match result {
                        Ok(_) => format!("accepted, Loki says {}", row["error"]),
                        Err(error) => format!("refused: {error}"),
                    }
                ));
                "other verdict"
            }
        };
        *counts.entry(kind).or_default() += 1;
    }
    println!("{counts:?} of {}", table.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
