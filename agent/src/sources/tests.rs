//! A host made of files, for the tests of the collectors.

use std::{fs, sync::Arc};

use expect_test::Expect;
use skep_proto::{Clock, TimestampNs};
use tempfile::TempDir;

use super::{Choice, Context, Roots, SOURCES, Settings, SourceError, collect_chosen};
use crate::{config::UNITS_MAX_DEFAULT, exposition::Exposition};

type Collect = fn(&Context, &mut Exposition) -> Result<(), SourceError>;

/// Roots in a temporary folder: `proc/…`, `sys/…`, `udev/…` and everything else below `/`.
#[derive(Debug)]
pub(super) struct Host {
    dir: TempDir,
    context: Context,
}

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> TimestampNs {
        TimestampNs(1_700_000_000_250_000_000)
    }
}

impl Default for Host {
    fn default() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let roots = Roots {
            proc: root.join("proc"),
            sys: root.join("sys"),
            udev: root.join("udev"),
            root: root.to_owned(),
        };
        let context =
            Context::new(roots, Settings::default(), Arc::new(StoppedClock), UNITS_MAX_DEFAULT);
        Self { dir, context }
    }
}

impl Host {
    /// Forgets what was seen, as an agent does that starts anew.
    pub(super) fn restarted(self) -> Self {
        let Context { roots, settings, clock, .. } = self.context;
        Self { dir: self.dir, context: Context::new(roots, settings, clock, UNITS_MAX_DEFAULT) }
    }

    pub(super) fn settings(&mut self) -> &mut Settings {
        &mut self.context.settings
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn path(&self, file: &str) -> std::path::PathBuf {
        self.dir.path().join(file)
    }

    pub(super) fn file(&self, file: &str, text: &str) -> &Self {
        self.bytes(file, text.as_bytes())
    }

    pub(super) fn bytes(&self, file: &str, bytes: &[u8]) -> &Self {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// What the collector prints, or its error with all causes.
    pub(super) fn text(&self, collect: Collect) -> String {
        let mut out = Exposition::default();
        let text = match collect(&self.context, &mut out) {
            Ok(()) => out.to_text(),
            Err(error) => format!("error: {:#}\n", anyhow::Error::new(error)),
        };
        text.replace(&format!("{}/", self.dir.path().display()), "/")
    }

    #[track_caller]
    pub(super) fn check(&self, collect: Collect, expected: &Expect) {
        expected.assert_eq(&self.text(collect));
    }
}

#[test]
fn default_settings_are_valid() {
    let settings: Settings = toml::from_str("").unwrap();
    assert!(settings.vmstat.fields.matches("pgpgin"));
    assert!(!settings.diskstats.takes("sda1"));
    assert!(settings.diskstats.takes("sda"));
    assert!(!settings.filesystem.takes("/dev", "ext4"));
    assert!(!settings.filesystem.takes("/data", "overlay"));
    assert!(settings.filesystem.takes("/data", "ext4"));
}

#[test]
fn the_guide_lists_every_collector_in_order() {
    let guide = include_str!("../../../docs/guide/collectors.md");
    let rows = guide.lines().skip_while(|it| !it.starts_with("| :--")).skip(1);
    let names = rows.map_while(|it| it.strip_prefix("| ")?.split(' ').next());
    let sources: Vec<&str> = SOURCES.iter().map(|it| it.name).collect();
    assert_eq!(names.collect::<Vec<_>>(), sources);
}

#[test]
fn the_guides_example_is_valid() {
    let guide = include_str!("../../../docs/guide/collectors.md");
    let example = guide.split("```").nth(1).unwrap().strip_prefix("toml\n").unwrap();
    let settings = toml::from_str::<toml::Table>(example).unwrap();
    let settings: Settings = settings["collectors"].clone().try_into().unwrap();
    assert_eq!(settings.textfile.directories.len(), 2);
    assert!(!settings.filesystem.takes("/mnt/usb", "ext4"));
}

#[test]
fn collectors_are_switched_on_and_off_by_name() {
    let names = |text| {
        let settings: Settings = toml::from_str(text).unwrap();
        SOURCES.iter().filter(|it| settings.runs(it)).map(|it| it.name).collect::<Vec<_>>()
    };
    let defaults: Vec<&str> = SOURCES.iter().filter(|it| it.is_on).map(|it| it.name).collect();
    assert_eq!(names(""), defaults);
    assert_eq!(names("disable_defaults = true\nenable = [\"vmstat\", \"cpu\"]"), ["cpu", "vmstat"]);
    let without: Vec<&str> = defaults.into_iter().filter(|it| *it != "cpu").collect();
    assert_eq!(names("disable = [\"cpu\"]"), without);
    let error = toml::from_str::<Settings>("enable = [\"cpus\"]").unwrap_err();
    assert!(
        error.message().starts_with("there is no collector \"cpus\"; there are arp, "),
        "{error}"
    );
}

#[test]
fn settings_are_checked_when_they_are_read() {
    let error = |text| toml::from_str::<Settings>(text).unwrap_err().message().to_owned();
    assert!(error("[vmstat]\nfields = \"(\"").contains("unclosed group"));
    assert!(error("[vmstat]\nfield = \"x\"").contains("unknown field `field`"));
    assert!(error("[filesystem]\nmount_timeout_seconds = -1").contains("negative"));
    let settings: Settings = toml::from_str("[diskstats]\ndevice_include = \"^sda1$\"\n").unwrap();
    assert!(settings.diskstats.takes("sda1") && !settings.diskstats.takes("sda"));
}

#[test]
fn a_collection_can_be_of_some_sources() {
    let mut host = Host::default();
    host.file("proc/loadavg", "0.5 0.25 0.125 1/2 3\n").file("proc/sys/kernel/x", "");
    host.settings().disable = vec!["dmi".parse().unwrap()];
    let run = |choice: &Choice| {
        let mut out = Exposition::default();
        collect_chosen(host.context(), choice, &mut out);
        let text = out.to_text();
        let lines = text.lines().filter_map(|it| {
            let it = it.strip_prefix("node_scrape_collector_success{collector=\"")?;
            Some(it.split('"').next()?.to_owned())
        });
        lines.collect::<Vec<_>>()
    };
    let of = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(run(&Choice::Only(of(&["loadavg", "cpu"]))), ["cpu", "loadavg"]);
    let all = run(&Choice::All);
    let rest: Vec<_> = all.iter().filter(|it| *it != "cpu").cloned().collect();
    assert_eq!(run(&Choice::Except(of(&["cpu", "no such"]))), rest);
    let check = |name: &str| Choice::Only(of(&[name])).check(&host.context().settings);
    assert_eq!(check("cpus"), Err("missing collector: cpus".to_owned()));
    assert_eq!(check("dmi"), Err("disabled collector: dmi".to_owned()));
    assert_eq!(check("systemd"), Err("disabled collector: systemd".to_owned()));
    assert_eq!(check("loadavg"), Ok(()));
}

#[test]
fn some_collectors_can_be_run_alone_whether_they_are_on_or_not() {
    let mut settings: Settings =
        toml::from_str("disable = [\"cpu\"]\nenable = [\"swap\"]").unwrap();
    settings.only(vec!["systemd".parse().unwrap(), "cpu".parse().unwrap()]);
    let running: Vec<_> = SOURCES.iter().filter(|it| settings.runs(it)).map(|it| it.name).collect();
    assert_eq!(running, ["cpu", "systemd"]);
}
