//! What the docs tell to type: each command line of ours is one that the real programs know.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use skep_tests::bin_dir;
use tokio::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Programs as they are typed, and their binaries.
const PROGRAMS: [(&[&str], &str); 3] = [
    (&["skep-server"], "skep-server"),
    (&["skep-agent"], "skep-agent"),
    (&["cargo", "xtask"], "xtask"),
];

/// Verbs of xtask that hand what follows, `--help` too, to another program, but for these first
/// words, of which their own help has to tell.
const PASS_ON: [(&str, &str, &[&str]); 2] = [
    ("bench", "skep-bench", &["programs", "page", "frames"]),
    ("conformance", "skep-conformance", &["node_exporter"]),
];

fn pages(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            pages(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
    Ok(())
}

/// Lines of shell blocks, with what a backslash continues, and commands between backticks.
fn typed(page: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (idx, part) in page.split("```").enumerate() {
        if idx % 2 == 1 {
            let (language, body) = part.split_once('\n').unwrap_or_default();
            if matches!(language, "sh" | "console") {
                all.extend(body.replace("\\\n", " ").lines().map(str::to_owned));
            }
        } else {
            let quoted = part.split('`').skip(1).step_by(2).filter(|it| !it.contains('\n'));
            // What is left open cannot be tried.
            let is_whole = |it: &&str| !it.contains(['…', '[', '<']);
            all.extend(quoted.filter(is_whole).map(str::to_owned));
        }
    }
    all
}

/// The words of each command of a line, without redirections and comments.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | ';' | '&' | ' ') => {
                if let (Some(word), Some(command)) = (word.take(), all.last_mut()) {
                    command.push(word);
                }
                if c != ' ' {
                    all.push(Vec::new());
                }
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    all.into_iter().map(without_redirections).collect()
}

fn without_redirections(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "<" | ">" | ">>" | "2>") {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept
}

/// The binary and its arguments, behind `sudo` and variables.
fn of_ours(command: &[String]) -> Option<(&'static str, &[String])> {
    let begins = command.iter().position(|it| it != "sudo" && !it.contains('='))?;
    let command = command.get(begins..)?;
    PROGRAMS.iter().find_map(|(words, binary)| {
        let (name, rest) = command.split_at_checked(words.len())?;
        (name.iter().eq(words.iter()) && !rest.is_empty()).then_some((*binary, rest))
    })
}

/// With --help behind it nothing is done, but what stands before must be known. What is wrong.
async fn try_out(binary: &str, words: &[String]) -> anyhow::Result<Result<(), String>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let passed_on = match words.as_slice() {
        [verb, rest @ ..] => {
            PASS_ON.iter().find(|(it, _, _)| it == verb).map(|found| (found, rest))
        }
        [] => None,
    };
    let (binary, words, expected) = match passed_on {
        Some(((verb, _, own), [first, ..])) if own.contains(first) => {
            (binary, vec!["help", *verb], format!("`{first}`"))
        }
        Some(((_, program, _), rest)) => (*program, [rest, &["--help"]].concat(), String::new()),
        None => (binary, [&words[..], &["--help"]].concat(), String::new()),
    };
    let asked = Command::new(bin_dir().join(binary)).args(&words).output().await?;
    let [out, err] = [&asked.stdout, &asked.stderr].map(|it| String::from_utf8_lossy(it));
    if asked.status.success() && out.contains(&expected) {
        return Ok(Ok(()));
    }
    Ok(Err(format!("{binary} {words:?} (expected {expected}): {out}{err}")))
}

#[tokio::test]
async fn every_command_in_the_docs_is_one_of_the_programs() -> anyhow::Result<()> {
    let mut files =
        vec![PathBuf::from(ROOT).join("README.md"), Path::new(ROOT).join("CONTRIBUTING.md")];
    pages(&Path::new(ROOT).join("docs"), &mut files)?;
    let mut tried = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in files {
        let page = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for line in typed(&page) {
            for command in commands(&line.replace("collector NAME", "collector cpu")) {
                let Some((binary, words)) = of_ours(&command) else { continue };
                if !tried.insert((binary, words.to_vec())) {
                    continue;
                }
                if let Err(error) = try_out(binary, words).await? {
                    wrong.push(format!("{}: {line}\n{error}", file.display()));
                }
            }
        }
    }
    assert!(tried.len() > 50, "only {} commands were found", tried.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_line_is_read_as_a_shell_would() {
    let words = |line: &str| {
        commands(line).iter().map(|it| it.join("_")).filter(|it| !it.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(
        words("printf '%s\\n' \"$A B\" | sudo skep-server user add ada > out # asks"),
        ["printf_%s\\n_$A B", "sudo_skep-server_user_add_ada"]
    );
    assert_eq!(words("a --b '' && c; d"), ["a_--b_", "c", "d"]);
    let command = ["SKEP_LOG=debug", "sudo", "cargo", "xtask", "run"].map(str::to_owned);
    assert_eq!(of_ours(&command), Some(("xtask", &["run".to_owned()][..])));
    assert_eq!(of_ours(&["skep-server".to_owned()]), None);
}
