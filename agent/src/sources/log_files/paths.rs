//! Which files a pattern names: `*`, `?`, `[a-z]` and `{a,b}` within a name, `**` over folders.

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

use regex::Regex;

use crate::sources::{sorted_dir, textfile::glob::matcher};

/// Patterns that braces may stand for.
const BRACES_MAX: usize = 100;
/// How far `**` goes down.
const DEPTH_MAX: usize = 16;
/// Files that one pattern may name.
const FILES_MAX: usize = 10_000;
/// Folders that are looked into for one pattern.
const FOLDERS_MAX: usize = 10_000;

/// A pattern of an absolute path.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Pattern(Regex),
    /// `**`
    AnyDepth,
}

/// What a look at the disk has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: BTreeSet<PathBuf>,
    /// Where a new file, or a folder with one, would turn up.
    pub(super) folders: BTreeSet<PathBuf>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum GlobError {
    #[error("path {0:?} is not absolute; write it from / on")]
    Relative(String),
    #[error("path {0:?} stands for more than {BRACES_MAX} patterns")]
    Braces(String),
}

impl Glob {
    /// The patterns that one with braces stands for.
    pub(super) fn parse(text: &str) -> Result<Vec<Self>, GlobError> {
        let mut globs = Vec::new();
        for text in without_braces(text)? {
            let path = Path::new(&text);
            if !path.is_absolute() {
                return Err(GlobError::Relative(text));
            }
            let names = path.components().filter_map(|it| match it {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            });
            let parts = names.map(|name| match matcher(&name) {
                _ if name == "**" => Part::AnyDepth,
                Some(regex) => Part::Pattern(regex),
                None => Part::Literal(name),
            });
            globs.push(Self { parts: parts.collect() });
        }
        Ok(globs)
    }

    pub(super) fn matches(&self, path: &Path) -> bool {
        let names: Vec<String> = path
            .components()
            .filter_map(|it| match it {
                Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
                _ => None,
            })
            .collect();
        matches(&self.parts, &names)
    }

    /// Adds the regular files that are there now.
    pub(super) fn find(&self, found: &mut Found) {
        walk(Path::new("/"), &self.parts, 0, found);
    }
}

fn walk(folder: &Path, parts: &[Part], depth: usize, found: &mut Found) {
    if found.files.len() >= FILES_MAX || found.folders.len() >= FOLDERS_MAX {
        return;
    }
    let Some((part, rest)) = parts.split_first() else { return };
    let visit = |name: &str, found: &mut Found| {
        let path = folder.join(name);
        if !rest.is_empty() {
            walk(&path, rest, depth, found);
        } else if path.is_file() {
            found.files.insert(path);
        }
    };
    match part {
        Part::Literal(name) => {
            if rest.is_empty() {
                found.folders.insert(folder.to_owned());
            }
            visit(name, found);
        }
        Part::Pattern(regex) => {
            found.folders.insert(folder.to_owned());
            for name in sorted_dir(folder).iter().filter(|it| regex.is_match(it)) {
                visit(name, found);
            }
        }
        Part::AnyDepth => {
            found.folders.insert(folder.to_owned());
            walk(folder, rest, depth, found);
            if depth < DEPTH_MAX {
                for name in sorted_dir(folder) {
                    let path = folder.join(name);
                    // A link to a folder above would never end.
                    if path.is_dir() && !path.is_symlink() {
                        walk(&path, parts, depth + 1, found);
                    }
                }
            }
        }
    }
}

fn matches(parts: &[Part], names: &[String]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return names.is_empty() };
    match part {
        Part::AnyDepth => (0..=names.len())
            .any(|n_skipped| names.get(n_skipped..).is_some_and(|it| matches(rest, it))),
        Part::Literal(_) | Part::Pattern(_) => {
            let Some((name, others)) = names.split_first() else { return false };
            let is_match = match part {
                Part::Literal(literal) => literal == name,
                Part::Pattern(regex) => regex.is_match(name),
                Part::AnyDepth => false,
            };
            is_match && matches(rest, others)
        }
    }
}

/// `a{b,c}` as `ab` and `ac`; braces may nest.
fn without_braces(text: &str) -> Result<Vec<String>, GlobError> {
    let mut todo = vec![text.to_owned()];
    let mut done = Vec::new();
    while let Some(pattern) = todo.pop() {
        if todo.len() + done.len() >= BRACES_MAX {
            return Err(GlobError::Braces(text.to_owned()));
        }
        // The last brace that opens has no other inside.
        let braces = pattern.rfind('{').and_then(|open| {
            let close = pattern.get(open..)?.find('}')? + open;
            Some((open, close))
        });
        let Some((open, close)) = braces else {
            done.push(pattern);
            continue;
        };
        let (before, after) = (pattern.get(..open), pattern.get(close + 1..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        for choice in pattern.get(open + 1..close).unwrap_or_default().split(',') {
            todo.push(format!("{before}{choice}{after}"));
        }
    }
    done.sort_unstable();
    done.dedup();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patterns_name_files_over_folders_and_braces() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.log", "b.log", "b.txt", "x/c.log", "x/y/d.log", "x/y/e.log.gz"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let root = dir.path().to_str().unwrap();
        let find = |pattern: &str| {
            let mut found = Found::default();
            for glob in Glob::parse(&format!("{root}/{pattern}")).unwrap() {
                glob.find(&mut found);
                assert!(found.files.iter().all(|it| !it.is_dir()));
            }
            let globs = Glob::parse(&format!("{root}/{pattern}")).unwrap();
            assert!(found.files.iter().all(|it| globs.iter().any(|glob| glob.matches(it))));
            let name = |it: &PathBuf| it.strip_prefix(root).unwrap().display().to_string();
            found.files.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(find("*.log"), "a.log b.log");
        assert_eq!(find("[ab].{log,txt}"), "a.log b.log b.txt");
        assert_eq!(find("**/*.log"), "a.log b.log x/c.log x/y/d.log");
        assert_eq!(find("x/*/d.log"), "x/y/d.log");
        assert_eq!(find("a.log"), "a.log");
        assert_eq!(find("none*"), "");
        assert_eq!(find("x"), "");
    }

    #[test]
    fn paths_are_absolute_and_braces_bounded() {
        let relative = Glob::parse("var/*.log").unwrap_err();
        assert_eq!(relative, GlobError::Relative("var/*.log".to_owned()));
        let many = format!("/{}", "{a,b}".repeat(8));
        assert_eq!(Glob::parse(&many).unwrap_err(), GlobError::Braces(many));
        assert_eq!(Glob::parse("/{a,{b,c}}").unwrap().len(), 3);
    }
}
