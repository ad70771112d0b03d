//! Our own cases: every function, operator and edge, in the load/eval text format.

use std::{fs, path::Path};

use skep_promql::{functions::FUNCTIONS, promqltest};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/promql");

fn files() -> Vec<(String, String)> {
    let folder = Path::new(FOLDER);
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .expect("the folder of cases is part of the repository")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            name.ends_with(".test").then(|| (name, fs::read_to_string(&path).unwrap_or_default()))
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_case_gives_what_it_expects() {
    let mut failures = Vec::new();
    let mut n_cases = 0;
    for (name, text) in files() {
        for outcome in promqltest::run(&text).await.unwrap_or_else(|it| panic!("{name}: {it}")) {
            n_cases += 1;
            if let Some(failure) = outcome.failure {
                failures.push(format!("{name}:{} {}\n    {failure}", outcome.line, outcome.query));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
    assert!(n_cases > 300, "only {n_cases} cases found in {FOLDER}");
}

#[test]
fn every_function_has_a_case() {
    let text: String = files().into_iter().map(|(_, text)| text).collect();
    let missing: Vec<&str> = FUNCTIONS
        .iter()
        .filter(|it| !text.contains(&format!("{}(", it.name)))
        .map(|it| it.name)
        .collect();
    assert!(missing.is_empty(), "functions without a case: {missing:?}");
}
