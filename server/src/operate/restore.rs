//! `skep-server restore`: a backup becomes the data folder of a server that does not run.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};

use super::backup::{ABOUT, About, DATA, copy_tree, entries, make_private};
use crate::{config::Config, data_version};

/// Where files wait until all are there.
const UNFINISHED: &str = "restoring";
/// What a server that was started once and has stored nothing may have left.
const HARMLESS: &[&str] = &["LOCK"];

pub(super) fn run(backup: &Path, config: &Config) -> anyhow::Result<()> {
    let about = backup.join(ABOUT);
    let about: About = fs::read_to_string(&about)
        .with_context(|| format!("{} is no backup that is whole", backup.display()))
        .and_then(|it| serde_json::from_str(&it).context("reading what it says of itself"))?;
    let data = backup.join(DATA);
    data_version::check(&data)?;
    let dir = &config.data_dir;
    refuse_used(dir)?;
    make_private(dir)?;
    let unfinished = dir.join(UNFINISHED);
    make_private(&unfinished)?;
    copy_tree(&data, &unfinished)?;
    for path in entries(&unfinished)? {
        if let Some(name) = path.file_name() {
            let to = dir.join(name);
            fs::rename(&path, &to).with_context(|| format!("naming {}", to.display()))?;
        }
    }
    fs::remove_dir(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
    println!(
        "{} is as {} was at {} (Skep {}); its configuration of then is {}",
        dir.display(),
        about.host,
        about.made_at,
        about.version,
        backup.join("server.toml").display()
    );
    Ok(())
}

/// Nothing is overwritten, and no running server gets other files below its feet.
fn refuse_used(dir: &Path) -> anyhow::Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    if let Ok(lock) = fs::File::open(dir.join("LOCK")) {
        ensure!(
            lock.try_lock().is_ok(),
            "a server runs in {}; stop it with `systemctl stop skep-server`",
            dir.display()
        );
    }
    let used = entries(dir)?;
    let used = used.iter().find(|path| !HARMLESS.iter().any(|it| path.ends_with(it)));
    if let Some(path) = used {
        bail!(
            "{} is there already; move what is in {} elsewhere first",
            path.display(),
            dir.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data_dir: &Path) -> Config {
        Config::parse(&format!("data_dir = {:?}", data_dir.display().to_string())).unwrap()
    }

    #[test]
    fn a_backup_fills_an_empty_folder_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (backup, data_dir) = (dir.path().join("backup"), dir.path().join("skep"));
        fs::create_dir_all(backup.join("data/access")).unwrap();
        fs::write(backup.join("data/access/users.json"), "[]").unwrap();
        let said = run(&backup, &config(&data_dir)).unwrap_err().to_string();
        assert!(said.contains("no backup that is whole"), "{said}");
        let about = r#"{"version":"0.1.0","host":"nas","made_at":"2026-11-23T00:00:00Z"}"#;
        fs::write(backup.join(ABOUT), about).unwrap();
        run(&backup, &config(&data_dir)).unwrap();
        assert_eq!(fs::read_to_string(data_dir.join("access/users.json")).unwrap(), "[]");
        let said = run(&backup, &config(&data_dir)).unwrap_err().to_string();
        assert!(said.contains("is there already"), "{said}");
    }

    #[test]
    fn a_newer_backup_and_a_running_server_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (backup, data_dir) = (dir.path().join("backup"), dir.path().join("skep"));
        fs::create_dir_all(backup.join("data")).unwrap();
        let about = r#"{"version":"9.0.0","host":"nas","made_at":"2026-11-23T00:00:00Z"}"#;
        fs::write(backup.join(ABOUT), about).unwrap();
        fs::create_dir_all(&data_dir).unwrap();
        let lock = fs::File::create(data_dir.join("LOCK")).unwrap();
        lock.lock().unwrap();
        let said = run(&backup, &config(&data_dir)).unwrap_err().to_string();
        assert!(said.contains("a server runs in"), "{said}");
        drop(lock);
        let newer = r#"{"format":99,"written_by":"9.0.0"}"#;
        fs::write(backup.join("data/version.json"), newer).unwrap();
        let said = run(&backup, &config(&data_dir)).unwrap_err().to_string();
        assert!(said.contains("which is newer"), "{said}");
    }
}
