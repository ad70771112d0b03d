//! The table of options in docs/nixos.md, made from the modules.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::Flake;
use crate::paths;

const PAGE: &str = "docs/nixos.md";
/// The table stands between these lines.
const BEGIN: &str = "<!-- The table is made by `cargo xtask nix-check --update`. -->\n";
const END: &str = "<!-- Until here. -->\n";

/// Whether the page has the table, or writes it there.
pub(super) fn check(flake: &Flake, is_update: bool) -> anyhow::Result<()> {
    let path = paths::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("reading {PAGE}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} lacks {BEGIN}"))?;
    let (known, after) = rest.split_once(END).with_context(|| format!("{PAGE} lacks {END}"))?;
    let table = table(&flake.eval(&["lib.moduleOptions"])?)?;
    if is_update {
        let page = [before, BEGIN, table.as_str(), END, after].concat();
        return fs::write(&path, page).with_context(|| format!("writing {PAGE}"));
    }
    ensure!(
        known == table,
        "{PAGE} does not have the options as the modules do: run `cargo xtask nix-check --update`"
    );
    Ok(())
}

fn table(options: &Value) -> anyhow::Result<String> {
    let mut out = "| option | default | |\n| :-- | :-- | :-- |\n".to_owned();
    for option in options.as_array().context("the options are no list")? {
        let text =
            |key: &str| option.get(key).and_then(Value::as_str).map(|it| it.replace('|', "\\|"));
        let name = text("name").context("an option has no name")?;
        let name = name.trim_start_matches("services.");
        let default = text("default").map_or_else(|| "needed".to_owned(), |it| format!("`{it}`"));
        let example = text("example").map_or_else(String::new, |it| format!(" Example: `{it}`"));
        let description = text("description").context("an option has no description")?;
        writeln!(out, "| `{name}` | {default} | {description}{example} |")
            .context("writing to a text")?;
    }
    Ok(out)
}
