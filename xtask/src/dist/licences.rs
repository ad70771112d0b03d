//! The licences of everything that a binary contains: crates, and what the page is built from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use anyhow::Context as _;
use serde_json::Value;

use super::Product;
use crate::shell;

/// Files that hold terms, by how their names begin.
const FILES: &[&str] = &["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT"];

/// A work of others.
struct Work {
    name: String,
    version: String,
    /// As it is declared, in SPDX.
    licence: String,
    texts: Vec<String>,
}

/// What is handed on with a product.
pub(super) fn of(source: &Path, product: Product) -> anyhow::Result<String> {
    let mut metadata = shell::cargo();
    metadata.current_dir(source).args(["metadata", "--format-version=1", "--locked"]);
    let metadata = shell::quiet(&mut metadata)?;
    let metadata = serde_json::from_str(&metadata).context("reading what cargo metadata says")?;
    let mut works = crates(&metadata, product.binaries());
    anyhow::ensure!(works.len() > 10, "cargo metadata names only {} crates", works.len());
    if product == Product::Server {
        works.extend(page(&source.join("server/web"))?);
    }
    Ok(report(product.name(), &works))
}

/// The crates that these binaries are linked from, found along their dependencies.
fn crates(metadata: &Value, roots: &[&str]) -> Vec<Work> {
    let packages: BTreeMap<&str, &Value> =
        list(metadata, "/packages").map(|it| (text(it, "id"), it)).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(metadata, "/resolve/nodes").map(|it| (text(it, "id"), it)).collect();
    let is_root =
        |id: &&&str| packages.get(**id).is_some_and(|it| roots.contains(&text(it, "name")));
    let mut open: Vec<&str> = packages.keys().filter(is_root).copied().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let deps = nodes.get(id).into_iter().flat_map(|it| list(it, "/deps"));
        open.extend(deps.filter(|it| is_linked(it)).map(|it| text(it, "pkg")));
    }
    let mut works: Vec<Work> = seen
        .into_iter()
        .filter_map(|id| packages.get(id))
        // Our own have no source.
        .filter(|it| it.get("source").is_some_and(Value::is_string))
        .map(|it| Work {
            name: text(it, "name").to_owned(),
            version: text(it, "version").to_owned(),
            licence: text(it, "license").to_owned(),
            texts: Path::new(text(it, "manifest_path")).parent().map(texts).unwrap_or_default(),
        })
        .collect();
    works.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    works
}

/// Neither for tests nor for build scripts alone, and not for other systems.
fn is_linked(dep: &Value) -> bool {
    list(dep, "/dep_kinds").any(|it| {
        let target = it.get("target").and_then(Value::as_str).unwrap_or_default();
        it.get("kind").is_none_or(Value::is_null)
            && !["windows", "macos", "wasm", "apple"].iter().any(|it| target.contains(it))
    })
}

/// What npm installs for the page itself, not for building and testing it.
fn page(web: &Path) -> anyhow::Result<Vec<Work>> {
    let file = web.join("package-lock.json");
    let lock = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let lock: Value =
        serde_json::from_str(&lock).with_context(|| format!("reading {}", file.display()))?;
    let packages = lock.get("packages").and_then(Value::as_object).into_iter().flatten();
    let used = packages.filter(|(path, package)| {
        !path.is_empty() && !package.get("dev").and_then(Value::as_bool).unwrap_or(false)
    });
    Ok(used
        .map(|(path, package)| Work {
            name: path.rsplit("node_modules/").next().unwrap_or(path).to_owned(),
            version: text(package, "version").to_owned(),
            licence: text(package, "license").to_owned(),
            texts: texts(&web.join(path)),
        })
        .collect())
}

fn texts(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|it| {
            let name = it.file_name().to_string_lossy().to_uppercase();
            FILES.iter().any(|start| name.starts_with(start)) && it.path().is_file()
        })
        .map(|it| it.path())
        .collect();
    files.sort();
    files.iter().filter_map(|it| fs::read_to_string(it).ok()).collect()
}

/// A list of all, then each text once with whose it is.
fn report(product: &str, works: &[Work]) -> String {
    let mut out = format!("{product} contains works of others:\n\n");
    let mut by_text: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for work in works {
        let name = format!("{} {}", work.name, work.version);
        writeln!(out, "  {name} ({})", work.licence).expect("a String never fails");
        for text in &work.texts {
            by_text.entry(text.trim()).or_default().push(name.clone());
        }
    }
    for (text, names) in by_text {
        let line = "-".repeat(79);
        write!(out, "\n{line}\n{}:\n\n{text}\n", names.join(", ")).expect("a String never fails");
    }
    out
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package = |name: &str, source: Value| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT",
                   "source": source, "manifest_path": "/nowhere/Cargo.toml"})
        };
        let dep = |name: &str, kind: Value, target: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind, "target": target}]});
        let registry = json!("registry");
        let metadata = json!({
            "packages": [package("ours", json!(null)), package("linked", registry.clone()),
                         package("below", registry.clone()), package("tests", registry.clone()),
                         package("other", registry)],
            "resolve": {"nodes": [
                {"id": "ours", "deps": [dep("linked", json!(null), json!(null)),
                                        dep("tests", json!("dev"), json!(null)),
                                        dep("other", json!(null), json!("cfg(windows)"))]},
                {"id": "linked", "deps": [dep("below", json!(null), json!(null))]},
            ]},
        });
        let names: Vec<_> = crates(&metadata, &["ours"]).into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["below", "linked"]);
    }

    #[test]
    fn a_text_stands_once_with_all_whose_it_is() {
        let work = |name: &str, texts: &[&str]| Work {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: "MIT".to_owned(),
            texts: texts.iter().map(|&it| it.to_owned()).collect(),
        };
        let text =
            report("skep", &[work("a", &["terms\n"]), work("b", &["terms"]), work("c", &[])]);
        assert_eq!(text.matches("terms").count(), 1);
        assert!(text.contains("a 1.0.0, b 1.0.0:"), "{text}");
        assert!(text.contains("  c 1.0.0 (MIT)"), "{text}");
    }
}
