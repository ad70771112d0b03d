//! The journal source against real journal files, made by systemd-journal-remote from its export
//! format.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use prost::Message as _;
use skep_proto::{
    SystemClock, TimestampNs,
    loki_push::{Entry, PushRequest},
    snappy,
};

use super::{
    JournalSettings, Select, Shape, damage, parse_matches,
    reader::{JournalReader, Place},
    start,
};
use crate::{
    own_metrics::OwnMetrics,
    sources::feed::FeedThread,
    spool::{Record, Spool, SpoolLimits, disk::Directory},
};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
/// In microseconds; the entries of a test are one second apart from here on.
const BEGIN_US: u64 = 1_790_000_000_000_000;

/// A directory of journal files, and beside it one of spools.
struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    /// `None`, said loudly, where the journal files cannot be made.
    fn new(test: &str) -> Option<Self> {
        if !Path::new(REMOTE).exists() {
            println!("SKIPPED {test}: {REMOTE} is missing; install systemd-journal-remote");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("journal")).unwrap();
        Some(Self { dir })
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join("journal")
    }

    /// Appends entries to one journal file.
    fn write(&self, file: &str, export: &[u8]) {
        let mut child = Command::new(REMOTE)
            .arg("--output")
            .arg(self.journal().join(file))
            .arg("-")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(export).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn spool(&self, bytes_max: u64) -> Arc<Spool> {
        let directory = Directory::open(&self.dir.path().join("spool")).unwrap();
        let limits = SpoolLimits { bytes_max, age_max: Duration::from_secs(1 << 40) };
        Arc::new(Spool::open(Box::new(directory), limits, Arc::new(SystemClock)).unwrap())
    }

    fn start(&self, spool: &Arc<Spool>) -> FeedThread {
        self.start_with(spool, "", self.select())
    }

    /// With what stands in `[journal]`.
    fn start_with(&self, spool: &Arc<Spool>, toml: &str, select: Select) -> FeedThread {
        let own = Arc::new(OwnMetrics::default());
        let shape = Shape::new(toml::from_str(toml).unwrap(), &own.pipeline).unwrap();
        let settings = JournalSettings {
            select,
            max_age: Duration::from_secs(1 << 40),
            host: "lab1".to_owned(),
            labels: vec![("site".to_owned(), "attic".to_owned())],
            shape,
        };
        let clock: Arc<dyn skep_proto::Clock> = Arc::new(SystemClock);
        start(settings, Arc::clone(spool), own, &clock).unwrap()
    }

    fn select(&self) -> Select {
        Select { directory: Some(self.journal()), ..Select::default() }
    }

    fn reader(&self, place: &Place) -> JournalReader {
        JournalReader::open(&self.select(), place).unwrap()
    }
}

fn export(ids: std::ops::Range<u64>) -> Vec<u8> {
    ids.flat_map(|id| entry(id, &[("MESSAGE", format!("line {id}").as_bytes())])).collect()
}

fn entry(id: u64, fields: &[(&str, &[u8])]) -> Vec<u8> {
    let at_us = BEGIN_US + id * 1_000_000;
    let boot = "b".repeat(32);
    let mut out = format!(
        "__REALTIME_TIMESTAMP={at_us}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={boot}\n\
         _SYSTEMD_UNIT=unit-{}.service\nPRIORITY=6\n_TRANSPORT=stdout\n",
        id * 1_000_000 + 1,
        id % 3,
    )
    .into_bytes();
    for (name, value) in fields {
        out.extend(name.as_bytes());
        out.push(b'\n');
        out.extend(u64::try_from(value.len()).unwrap().to_le_bytes());
        out.extend(*value);
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

fn entries(record: &Record) -> Vec<(String, Entry)> {
    let plain = snappy::decompress(&record.batch.body, 64 << 20).unwrap();
    let request = PushRequest::decode(plain.as_slice()).unwrap();
    request
        .streams
        .into_iter()
        .flat_map(|it| it.entries.into_iter().map(move |entry| (it.labels.clone(), entry)))
        .collect()
}

/// What a server that takes everything has got, until there are `n` entries.
async fn deliver(spool: &Spool, n: usize) -> Vec<(String, Entry)> {
    let mut delivered = Vec::new();
    let all = async {
        while delivered.len() < n {
            match spool.front().unwrap() {
                Some(record) => {
                    delivered.extend(entries(&record));
                    spool.ack(&record).unwrap();
                }
                None => spool.arrived().await,
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(in_time.is_ok(), "only {} of {n} entries came", delivered.len());
    delivered
}

fn lines(delivered: &[(String, Entry)]) -> Vec<String> {
    let mut lines: Vec<(i64, String)> = delivered
        .iter()
        .map(|(_, it)| (it.timestamp.unwrap_or_default().seconds, it.line.clone()))
        .collect();
    lines.sort_unstable();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn expected(ids: std::ops::Range<u64>) -> Vec<String> {
    ids.map(|id| format!("line {id}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_an_entry_arrives() {
    let Some(lab) = Lab::new("every_field_of_an_entry_arrives") else { return };
    let binary = [0xff, 0, b'=', b'\n'];
    let odd =
        entry(7, &[("MESSAGE", b"two\nlines"), ("BLOB", &binary), ("TAG", b"a"), ("TAG", b"b")]);
    lab.write("system.journal", &odd);
    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    let delivered = deliver(&spool, 1).await;
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();

    let (labels, got) = &delivered[0];
    assert_eq!(
        labels,
        "{host=\"lab1\", job=\"systemd-journal\", level=\"info\", site=\"attic\", \
         transport=\"stdout\", unit=\"unit-1.service\"}"
    );
    assert_eq!(got.line, "two\nlines");
    let stamp = got.timestamp.unwrap();
    let ns = TimestampNs(stamp.seconds * 1_000_000_000 + i64::from(stamp.nanos));
    // The first entry of the file has sequence number 1.
    assert_eq!(ns, TimestampNs(i64::try_from((BEGIN_US + 7_000_000) * 1_000 + 1).unwrap()));
    let metadata: Vec<String> = got
        .structured_metadata
        .iter()
        .map(|pair| format!("{}={}", pair.name, pair.value))
        .collect();
    let boot = format!("_BOOT_ID={}", "b".repeat(32));
    assert_eq!(metadata, ["BLOB_BASE64=/wA9Cg==", "TAG=a", "TAG_2=b", &boot]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_goes_on_where_the_spool_ends() {
    let Some(lab) = Lab::new("a_restarted_agent_goes_on_where_the_spool_ends") else { return };
    lab.write("system.journal", &export(0..2_500));
    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    // One batch is acknowledged; what else the thread has read stays in the spool.
    let first = deliver(&spool, 1).await;
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    drop(spool);

    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    let rest = deliver(&spool, 2_500 - first.len()).await;
    lab.write("system.journal", &export(2_500..2_510));
    let new = deliver(&spool, 10).await;
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    assert_eq!(spool.front().unwrap(), None, "nothing comes twice");

    assert_eq!(lines(&[first, rest, new].concat()), expected(0..2_510));

    drop(spool);
    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    lab.write("system.journal", &export(2_510..2_511));
    assert_eq!(lines(&deliver(&spool, 1).await), expected(2_510..2_511));
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_while_following_loses_and_repeats_nothing() {
    let Some(lab) = Lab::new("a_rotation_while_following_loses_and_repeats_nothing") else {
        return;
    };
    lab.write("system.journal", &export(0..20));
    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    let mut delivered = deliver(&spool, 20).await;
    for round in 1..4 {
        let archived = format!("system@{round:032x}-0000000000000001-0000000000000001.journal");
        let directory = lab.journal();
        std::fs::rename(directory.join("system.journal"), directory.join(archived)).unwrap();
        lab.write("system.journal", &export(round * 20..round * 20 + 20));
        delivered.extend(deliver(&spool, 20).await);
    }
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    assert_eq!(lines(&delivered), expected(0..80));
    assert_eq!(spool.front().unwrap(), None);
}

#[test]
fn a_cursor_whose_entry_is_gone_leads_to_the_next_entry() {
    let Some(lab) = Lab::new("a_cursor_whose_entry_is_gone_leads_to_the_next_entry") else {
        return;
    };
    lab.write("old.journal", &export(0..5));
    let mut reader = lab.reader(&Place::Time(0));
    let second = (0..2).map(|_| reader.next().unwrap().unwrap()).last().unwrap();
    let place = Place::Behind(second.cursor);
    let third = lab.reader(&place).next().unwrap().unwrap();
    assert_eq!(third.realtime_us, BEGIN_US + 2_000_000);

    drop(reader);
    std::fs::remove_file(lab.journal().join("old.journal")).unwrap();
    lab.write("new.journal", &export(10..12));
    let next = lab.reader(&place).next().unwrap().unwrap();
    assert_eq!(next.realtime_us, BEGIN_US + 10_000_000);
}

#[test]
fn reading_begins_at_a_time_where_no_cursor_is_known() {
    let Some(lab) = Lab::new("reading_begins_at_a_time_where_no_cursor_is_known") else { return };
    lab.write("system.journal", &export(0..5));
    let mut reader = lab.reader(&Place::Time(BEGIN_US + 2_500_000));
    assert_eq!(reader.next().unwrap().unwrap().realtime_us, BEGIN_US + 3_000_000);
    assert_eq!(reader.next().unwrap().unwrap().realtime_us, BEGIN_US + 4_000_000);
    assert!(reader.next().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_costs_only_what_is_damaged() {
    let Some(lab) = Lab::new("a_damaged_file_costs_only_what_is_damaged") else { return };
    lab.write("bad.journal", &export(0..4_000));
    lab.write("good.journal", &export(10_000..10_100));
    lab.write("short.journal", &export(5_000..5_010));
    let path = lab.journal().join("bad.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the header and the hash tables, where entries and their data are.
    let n_bytes = bytes.len();
    for spot in 0..20 {
        let at = n_bytes / 2 + spot * (n_bytes / 64);
        bytes[at..at + 64].fill(0xa5);
    }
    std::fs::write(&path, bytes).unwrap();
    let short = lab.journal().join("short.journal");
    std::fs::OpenOptions::new().write(true).open(&short).unwrap().set_len(100).unwrap();

    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    let mut delivered = Vec::new();
    let last = "line 10099".to_owned();
    while !lines(&delivered).contains(&last) {
        delivered.extend(deliver(&spool, 1).await);
    }
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    let delivered = lines(&delivered);
    let n_good = delivered.iter().filter(|it| expected(10_000..10_100).contains(it)).count();
    assert_eq!(n_good, 100, "the good file is whole");
    assert!(delivered.len() > 1_000, "only {} entries came", delivered.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_makes_the_journal_wait_and_lose_nothing() {
    let Some(lab) = Lab::new("a_full_spool_makes_the_journal_wait_and_lose_nothing") else {
        return;
    };
    lab.write("system.journal", &export(0..6_000));
    // Far less than all of it takes.
    let bytes_max = 30_000;
    let spool = lab.spool(bytes_max);
    let source = lab.start(&spool);
    let (mut delivered, mut n_bytes) = (Vec::new(), 0);
    while delivered.len() < 6_000 {
        match spool.front().unwrap() {
            Some(record) => {
                n_bytes += u64::try_from(record.batch.body.len()).unwrap();
                delivered.extend(entries(&record));
                spool.ack(&record).unwrap();
            }
            None => {
                let came = tokio::time::timeout(Duration::from_secs(60), spool.arrived()).await;
                assert!(came.is_ok(), "only {} entries came", delivered.len());
            }
        }
    }
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    assert!(n_bytes > bytes_max * 2, "{n_bytes} bytes would have fitted");
    assert_eq!(spool.n_items_dropped(), 0);
    assert_eq!(lines(&delivered), expected(0..6_000));
}

/// Fields beside those of [`entry`], a time and a message.
fn with_field(ids: std::ops::Range<u64>, name: &str, value: &str) -> Vec<u8> {
    ids.flat_map(|id| {
        let message = format!("line {id}");
        entry(id, &[("MESSAGE", message.as_bytes()), (name, value.as_bytes())])
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_entries_that_match_are_read() {
    let Some(lab) = Lab::new("only_entries_that_match_are_read") else { return };
    lab.write("system.journal", &with_field(0..10, "TAG", "a"));
    lab.write("system.journal", &with_field(10..20, "TAG", "b"));
    lab.write("system.journal", &with_field(20..30, "TAG", "c"));
    let read = async |matches: &str, boot_id: Option<String>, n: usize| {
        let words: Vec<String> = matches.split_whitespace().map(str::to_owned).collect();
        let matches = parse_matches(&words).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let limits = SpoolLimits { bytes_max: 1 << 26, age_max: Duration::from_secs(1 << 40) };
        let spool = Spool::open(Box::new(directory), limits, Arc::new(SystemClock)).unwrap();
        let spool = Arc::new(spool);
        let source = lab.start_with(&spool, "", Select { matches, boot_id, ..lab.select() });
        let delivered = deliver(&spool, n).await;
        tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
        assert_eq!(spool.front().unwrap(), None);
        lines(&delivered)
    };
    assert_eq!(read("TAG=b", None, 10).await, expected(10..20));
    assert_eq!(read("TAG=a TAG=c", None, 20).await, [expected(0..10), expected(20..30)].concat());
    let units = read("TAG=a _SYSTEMD_UNIT=unit-0.service + TAG=c", None, 14).await;
    assert_eq!(
        units,
        [["line 0", "line 3", "line 6", "line 9"].map(str::to_owned).to_vec(), expected(20..30)]
            .concat()
    );
    assert_eq!(read("TAG=a", Some("b".repeat(32)), 10).await, expected(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_relabelled_and_go_through_stages() {
    let Some(lab) = Lab::new("entries_are_relabelled_and_go_through_stages") else { return };
    lab.write("system.journal", &with_field(0..3, "TAG", "a"));
    lab.write("system.journal", &with_field(3..5, "TAG", "b"));
    let spool = lab.spool(64 << 20);
    let toml = r#"
        json = true
        default_labels = false
        labels = { job = "j" }
        relabel_configs = [
            { source_labels = ["__journal_tag"], regex = "b", action = "drop" },
            { source_labels = ["__journal__systemd_unit"], target_label = "u" },
            { source_labels = ["__journal_priority_keyword"], target_label = "level" },
        ]
        pipeline_stages = [
            { json = { expressions = { message = "MESSAGE" } } },
            { drop = { source = "message", value = "line 1" } },
        ]
    "#;
    let source = lab.start_with(&spool, toml, lab.select());
    let delivered = deliver(&spool, 2).await;
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    let shown: Vec<String> =
        delivered.iter().map(|(labels, it)| format!("{labels} {}", it.line)).collect();
    let boot = "b".repeat(32);
    assert_eq!(
        shown,
        [0, 2].map(|id| format!(
            r#"{{job="j", level="info", site="attic", u="unit-{id}.service"}} {{"MESSAGE":"line {id}","PRIORITY":"6","TAG":"a","_BOOT_ID":"{boot}","_SYSTEMD_UNIT":"unit-{id}.service","_TRANSPORT":"stdout"}}"#
        ))
    );
    // What relabelling dropped has moved the position, too.
    drop(spool);
    let spool = lab.spool(64 << 20);
    let last = lab.reader(&Place::Time(BEGIN_US + 4_000_000)).next().unwrap().unwrap();
    assert_eq!(spool.resume().get("journal"), Some(last.cursor.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_held_back_are_read_again_after_a_kill() {
    let Some(lab) = Lab::new("lines_that_are_held_back_are_read_again_after_a_kill") else {
        return;
    };
    lab.write("system.journal", &export(0..6));
    let toml = r#"
        default_labels = false
        pipeline_stages = [{ multiline = { firstline = "[024]$", max_wait_time = "1h" } }]
    "#;
    let spool = lab.spool(64 << 20);
    let source = lab.start_with(&spool, toml, lab.select());
    let delivered = deliver(&spool, 2).await;
    assert_eq!(lines(&delivered), ["line 0\nline 1", "line 2\nline 3"].map(str::to_owned));
    // The process ends without a word: what is held back is only in its memory.
    std::mem::forget(source);
    let held = lab.reader(&Place::Time(BEGIN_US + 3_000_000)).next().unwrap().unwrap();
    let spool = lab.spool(64 << 20);
    assert_eq!(spool.resume().get("journal"), Some(held.cursor.as_str()));
    let source = lab.start_with(&spool, toml, lab.select());
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_vacuumed_while_following_stop_nothing() {
    let Some(lab) = Lab::new("files_that_are_vacuumed_while_following_stop_nothing") else {
        return;
    };
    lab.write("old.journal", &export(0..50));
    lab.write("system.journal", &export(50..60));
    let spool = lab.spool(64 << 20);
    let source = lab.start(&spool);
    let mut delivered = deliver(&spool, 60).await;
    std::fs::remove_file(lab.journal().join("old.journal")).unwrap();
    lab.write("system.journal", &export(60..70));
    delivered.extend(deliver(&spool, 10).await);
    tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    assert_eq!(lines(&delivered), expected(0..70));
    assert_eq!(spool.front().unwrap(), None);
}

#[test]
fn a_file_that_cannot_be_a_journal_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let machine = dir.path().join("0123");
    std::fs::create_dir(&machine).unwrap();
    std::fs::write(machine.join("short.journal"), b"LPKSHHRH").unwrap();
    std::fs::write(machine.join("odd.journal"), vec![7; 4_096]).unwrap();
    std::fs::write(machine.join("notes.txt"), b"x").unwrap();
    if let Some(lab) = Lab::new("a_file_that_cannot_be_a_journal_is_named") {
        lab.write("good.journal", &export(0..3));
        std::fs::copy(lab.journal().join("good.journal"), machine.join("good.journal")).unwrap();
    }
    let mut faults: Vec<String> = damage::files(Some(dir.path()))
        .iter()
        .filter_map(|it| Some(format!("{}: {}", it.file_name()?.to_str()?, damage::fault(it)?)))
        .collect();
    faults.sort_unstable();
    assert_eq!(
        faults,
        [
            "odd.journal: it does not begin as journal files do",
            "short.journal: it is shorter than its header"
        ]
    );
}
