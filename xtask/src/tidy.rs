//! Properties of the repository that neither rustc nor clippy checks.
//!
//! Each check is a test, so `cargo test` runs it. `docs/ARCHITECTURE.md` is the data of the first:
//! a dependency that its table lacks fails the build, and so the table cannot go stale.

mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
        process::Command,
    };

    use crate::paths::root;

    /// Lines of one source file without its tests; longer files are listed with a reason.
    const MAX_FILE_LINES: usize = 600;
    const LONG_FILES: &[(&str, &str)] = &[];

    fn files(ext: &str) -> Vec<(String, String)> {
        let out = Command::new("git")
            .args(["ls-files", "-co", "--exclude-standard"])
            .current_dir(root())
            .output()
            .unwrap();
        String::from_utf8(out.stdout)
            .unwrap()
            .lines()
            .filter(|it| it.ends_with(ext) && root().join(it).exists())
            .map(|it| (it.to_owned(), fs::read_to_string(root().join(it)).unwrap()))
            .collect()
    }

    /// The import table: crate → crates it may depend on.
    fn allowed() -> BTreeMap<String, BTreeSet<String>> {
        let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
        text.lines()
            .skip_while(|it| *it != "| --- | --- |")
            .skip(1)
            .take_while(|it| it.starts_with('|'))
            .map(|row| {
                let mut cells = row.trim_matches('|').split('|');
                let from = cells.next().unwrap().trim().to_owned();
                let to = cells.next().unwrap_or("").split_whitespace().map(str::to_owned).collect();
                (from, to)
            })
            .collect()
    }

    #[test]
    fn imports_follow_the_architecture() {
        let allowed = allowed();
        assert!(allowed.len() > 10, "the import table of docs/ARCHITECTURE.md was not found");
        let mut wrong = Vec::new();
        for (path, text) in files("Cargo.toml").iter().filter(|(path, _)| path != "Cargo.toml") {
            let name = text
                .lines()
                .find_map(|it| it.strip_prefix("name = "))
                .unwrap_or_else(|| panic!("{path} has no name"))
                .trim_matches('"');
            let Some(may) = allowed.get(name) else {
                wrong.push(format!("{path}: crate `{name}` is missing from docs/ARCHITECTURE.md"));
                continue;
            };
            let deps = text
                .lines()
                .skip_while(|it| *it != "[dependencies]")
                .skip(1)
                .take_while(|it| !it.starts_with('['));
            for dep in deps
                .filter_map(|it| it.split(['.', ' ', '=']).next())
                .filter(|it| it.starts_with("skep-") || allowed.contains_key(*it))
            {
                if !may.contains(dep) {
                    wrong.push(format!("{path}: `{name}` must not depend on `{dep}`"));
                }
            }
        }
        assert!(
            wrong.is_empty(),
            "\n{}\nChange the code, or docs/ARCHITECTURE.md with an ADR.",
            wrong.join("\n")
        );
    }

    #[test]
    fn every_crate_takes_the_workspace_lints() {
        for (path, text) in files("Cargo.toml").iter().filter(|(path, _)| path != "Cargo.toml") {
            // The kernel side has no std and is not built by the host's clippy.
            // The fuzz targets are a workspace of their own.
            if path != "agent-ebpf/Cargo.toml" && path != "tests/fuzz/Cargo.toml" {
                assert!(text.contains("[lints]\nworkspace = true"), "{path} sets its own lints");
            }
        }
    }

    #[test]
    fn files_are_short_and_say_what_they_are() {
        let mut wrong = Vec::new();
        for (path, text) in files(".rs") {
            if !text.starts_with("//!") {
                wrong.push(format!(
                    "{path}:1: start the file with a `//!` line that says what it is for"
                ));
            }
            let n_lines = text.lines().take_while(|it| !it.starts_with("#[cfg(test)]")).count();
            let listed = LONG_FILES.iter().any(|(it, _)| *it == path);
            if (MAX_FILE_LINES < n_lines) != listed && !path.contains("/tests/") {
                wrong.push(format!(
                    "{path}: {n_lines} lines; split it, or keep LONG_FILES up to date"
                ));
            }
            for (i, line) in text.lines().enumerate() {
                for word in [concat!("FIX", "ME"), concat!("#[ig", "nore"), concat!("XX", "X")] {
                    if line.contains(word) {
                        wrong.push(format!("{path}:{}: {word}: mend it before the merge", i + 1));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    #[test]
    fn every_decision_is_listed_and_every_link_in_the_docs_leads_somewhere() {
        let mut wrong = Vec::new();
        for (path, text) in files(".md") {
            let dir = root().join(&path).parent().unwrap().to_owned();
            for link in text.split("](").skip(1).filter_map(|it| it.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                if !file.is_empty() && !file.contains("://") && !dir.join(file).exists() {
                    wrong.push(format!("{path}: {link} is not there"));
                }
            }
        }
        let index = fs::read_to_string(root().join("docs/adr/README.md")).unwrap();
        for (path, _) in files(".md") {
            if let Some(name) = path.strip_prefix("docs/adr/")
                && name != "README.md"
                && !index.contains(name)
            {
                wrong.push(format!("docs/adr/README.md does not list {name}"));
            }
        }
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    /// Excerpts in the how-to pages are fenced with the file they are from: ```` ```rust FILE ````.
    #[test]
    fn excerpts_are_what_the_repository_has() {
        let mut n_excerpts = 0;
        let mut wrong = Vec::new();
        for (page, text) in files(".md").iter().filter(|(path, _)| path.starts_with("docs/how-to/"))
        {
            let mut blocks = text.split("```rust ").skip(1);
            while let Some((file, rest)) = blocks.next().and_then(|it| it.split_once('\n')) {
                let excerpt = rest.split("```").next().unwrap_or_default();
                let source = fs::read_to_string(root().join(file)).unwrap_or_default();
                n_excerpts += 1;
                if excerpt.trim().is_empty() || !source.contains(excerpt) {
                    wrong.push(format!("{page}: {file} does not have\n{excerpt}"));
                }
            }
        }
        assert!(n_excerpts > 5, "only {n_excerpts} excerpts were found");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
