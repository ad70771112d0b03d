//! Folders named by a pattern, as in a shell: `/srv/*/metrics`.

use std::path::{Component, Path, PathBuf};

use regex::Regex;

use crate::sources::sorted_dir;

/// Folders that a pattern may stand for.
const MATCHES_MAX: usize = 1000;

/// The folders in order of their names. A path without a pattern, and a pattern that matches
/// nothing, stand for themselves: reading them tells what is wrong.
pub(super) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let matcher = matches!(component, Component::Normal(_)).then(|| matcher(&name)).flatten();
        let extended = paths.into_iter().flat_map(|path| match &matcher {
            None => vec![path.join(component)],
            Some(matcher) => {
                let base = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
                let names = sorted_dir(base).into_iter().filter(|it| matcher.is_match(it));
                names.map(|it| path.join(it)).collect()
            }
        });
        paths = extended.take(MATCHES_MAX).collect();
    }
    if paths.is_empty() { vec![pattern.to_owned()] } else { paths }
}

/// None where the name is no pattern, or none that could match.
pub(in crate::sources) fn matcher(name: &str) -> Option<Regex> {
    if !name.contains(['*', '?', '[']) {
        return None;
    }
    let mut pattern = String::from("(?s)^");
    let mut chars = name.chars();
    let mut is_class = false;
    while let Some(c) = chars.next() {
        match c {
            '[' | ']' => {
                is_class = c == '[';
                pattern.push(c);
            }
            '^' | '-' if is_class => pattern.push(c),
            '*' if !is_class => pattern.push_str(".*"),
            '?' if !is_class => pattern.push('.'),
            '\\' => pattern.push_str(&regex::escape(&String::from(chars.next()?))),
            c => pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push('$');
    Regex::new(&pattern).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patterns_stand_for_the_folders_that_match() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["a1/metrics", "a2/metrics", "b1/metrics", "a.1/other"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let expand = |pattern: &str| {
            let paths = expand(&dir.path().join(pattern)).into_iter();
            let text = |it: PathBuf| it.strip_prefix(dir.path()).unwrap().display().to_string();
            paths.map(text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(expand("a1/metrics"), "a1/metrics");
        assert_eq!(expand("a?"), "a1 a2");
        assert_eq!(expand("*1/metr*"), "a1/metrics b1/metrics");
        assert_eq!(expand("[ab]1"), "a1 b1");
        assert_eq!(expand("[^a]*"), "b1");
        assert_eq!(expand("a.*"), "a.1");
        assert_eq!(expand("none*"), "none*");
        assert_eq!(expand("[z"), "[z");
    }
}
