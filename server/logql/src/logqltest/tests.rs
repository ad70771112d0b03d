//! The runner itself, and the case files of this repository.

use std::{fs, path::Path};

use super::run;

const LOADED: &str = "load {app=\"a\"}\n  10s one\n  20s two\n";

/// Runs one `eval` over two lines.
async fn failure(eval: &str) -> Option<String> {
    let outcomes = run(&format!("{LOADED}{eval}\n")).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes[0].failure.clone()
}

#[tokio::test]
async fn a_right_case_passes_and_a_wrong_one_tells_the_difference() {
    let eval = "eval instant at 1m count_over_time({app=\"a\"}[1m])\n";
    assert_eq!(failure(&format!("{eval}  {{app=\"a\"}} 2")).await, None);
    let wrong = failure(&format!("{eval}  {{app=\"a\"}} 3")).await.unwrap();
    assert!(wrong.contains("found\n{app=\"a\"} 2\nwanted\n{app=\"a\"} 3"), "{wrong}");
    assert!(failure(eval).await.is_some(), "a series that nobody expects is a failure");
}

#[tokio::test]
async fn the_order_of_lines_matters() {
    let eval = "eval log from 0s to 1m {app=\"a\"}\n  {app=\"a\"}\n";
    assert_eq!(failure(&format!("{eval}    20s two\n    10s one")).await, None);
    assert!(failure(&format!("{eval}    10s one\n    20s two")).await.is_some());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_names_its_line() {
    assert_eq!(run("clear\nnonsense").await.unwrap_err(), "line 2: unknown command \"nonsense\"");
}

#[tokio::test]
async fn the_case_files_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/logql");
    let mut n_cases = 0;
    let mut failures = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for outcome in run(&fs::read_to_string(&path).unwrap()).await.expect(&name) {
            n_cases += 1;
            if let Some(failure) = outcome.failure {
                failures.push(format!("{name}:{} {}: {failure}", outcome.line, outcome.query));
            }
        }
    }
    assert!(n_cases > 100, "only {n_cases} cases found");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
