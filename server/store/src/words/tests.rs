//! The index from rows to what a search reads.

use std::{fs::File, os::unix::fs::FileExt as _, path::PathBuf, sync::Arc, time::Duration};

use arrow::{
    array::AsArray as _,
    datatypes::{Int64Type, TimestampNanosecondType},
};
use datafusion::{
    functions::{core::expr_fn::get_field, expr_fn::regexp_like, string::expr_fn::contains},
    logical_expr::Expr,
    physical_plan::displayable,
    prelude::{SessionContext, col, lit},
};
use expect_test::expect;
use futures::TryStreamExt as _;
use proptest::prelude::*;
use skep_proto::{LineNeed, LogColumns, LogRow, LogRows, LogWanted, TimeRange, TimestampNs};

use super::{
    build::PAGE_ROWS,
    need::Need,
    regex,
    text::{Pieces, Text, hash_pair},
};
use crate::{
    Store, StoreConfig,
    test_fixture::{NOW_MS, TestClock, runtime},
};

/// Everything that is kept of one line.
#[derive(Debug, Default)]
struct Kept {
    words: Vec<u8>,
    hashes: Vec<u64>,
    grams: Vec<u64>,
}

impl Pieces for Kept {
    fn word(&mut self, word: &[u8], _: u64) {
        self.words.push(0);
        self.words.extend(word);
        self.words.push(0);
    }

    fn number(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    fn gram(&mut self, hash: u64) {
        self.grams.push(hash);
    }
}

impl Kept {
    fn of(line: &str) -> Self {
        let mut kept = Self::default();
        Text::new(line).visit(&mut kept);
        kept
    }

    fn admits(&self, need: &Need) -> bool {
        match need {
            Need::And(all) => all.iter().all(|it| self.admits(it)),
            Need::Or(any) => any.iter().any(|it| self.admits(it)),
            Need::Word(word) => memchr::memmem::find(&self.words, word).is_some(),
            Need::Number(hash) => self.hashes.contains(hash),
            Need::Gram(hash) => self.grams.contains(hash),
        }
    }
}

/// Lines of pieces as logs have them, and of anything.
pub(super) fn line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
        "[a-f0-9]{1,40}",
        "[a-zA-Z]{1,12}",
        "[a-zA-Z0-9_-]{1,40}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "[kKsSſKéÉßdDeEaA0 ]{1,8}",
        "[ =:/\"{}\\[\\].,-]{1,3}",
        ".{0,6}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|it| it.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn every_part_of_a_line_finds_the_line(line in line(), from in 0..200_usize, len in 0..60_usize) {
        let part: String = line.chars().skip(from % (line.chars().count() + 1)).take(len).collect();
        let kept = Kept::of(&line);
        prop_assert!(kept.admits(&Need::contains(&part)), "{part:?} in {line:?}");
        let other_case: String =
            part.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
        prop_assert!(kept.admits(&Need::contains(&other_case)), "{other_case:?} in {line:?}");
        let pattern = regex_syntax::escape(&part);
        prop_assert!(kept.admits(&regex::need(&pattern, false)), "{pattern:?} in {line:?}");
    }

    #[test]
    fn a_line_that_a_regex_matches_is_found_by_it(
        line in line(),
        from in 0..200_usize,
        cuts in proptest::collection::vec((1..9_usize, 0..8_usize), 1..8),
        ignores_case: bool,
    ) {
        // A regex made from a part of the line, so that most of them match.
        let mut chars = line.chars().skip(from % (line.chars().count() + 1));
        let mut pattern = if ignores_case { "(?i)".to_owned() } else { String::new() };
        for (len, kind) in cuts {
            let text: String = chars.by_ref().take(len).collect();
            let it = regex_syntax::escape(&text);
            match kind {
                0 => pattern.push_str(".*"),
                1 => pattern.push_str(&format!("({it}|nothing)")),
                2 => pattern.push_str(&format!("(?:{it})?")),
                3 => pattern.push_str(&format!("(?:{it})+")),
                4 => pattern.push_str(&format!("(?P<x{len}{}>{it})", pattern.len())),
                5 if ignores_case => pattern.push_str(&it.to_uppercase()),
                6 => pattern.push_str(&format!("\\b{it}|{it}")),
                _ => pattern.push_str(&it),
            }
        }
        if let Ok(regex) = ::regex::Regex::new(&pattern)
            && regex.is_match(&line)
        {
            let need = regex::need(&pattern, false);
            prop_assert!(Kept::of(&line).admits(&need), "{pattern:?} in {line:?}: {need:?}");
        }
    }
}

#[test]
fn letters_that_fold_into_ascii_are_found_by_their_fold() {
    for (pattern, line) in [
        ("(?i)task", "a taſK done"),
        ("(?i)taſk", "a TASK done"),
        ("(?i)kill", "\u{212a}ill -9"),
        ("taſk", "a taſk done"),
    ] {
        assert!(::regex::Regex::new(pattern).unwrap().is_match(line), "{pattern}");
        assert!(Kept::of(line).admits(&regex::need(pattern, false)), "{pattern}");
        assert!(!Kept::of("other words").admits(&regex::need(pattern, false)), "{pattern}");
    }
}

#[test]
fn what_is_needed_is_told_from_what_is_not() {
    let line = Kept::of(
        "api GET /v1/items/4711 status=200 id=6f1c2a9e-41d7-4c0b-9a55-70d2c7be11f3 OutOfMemoryError",
    );
    for (text, is_there) in [
        ("OutOfMemory", true),
        ("outofmem", true),
        ("OutOfSpace", false),
        ("6f1c2a9e-41d7-4c0b-9a55-70d2c7be11f3", true),
        ("1c2a9e-41d7-4c0b-9a55", true),
        ("6f1c2a9e-41d7-4c0b-9a55-81e3c7be11f3", false),
        ("=6f1c2a9e-52e8-5d1c-0b66-70d2c7be11f3", false),
        ("/4711 ", true),
        ("/4712 ", false),
        ("zzz-no-such-text-qqq", false),
        // Too little to tell.
        ("12", true),
        ("47", true),
        ("", true),
    ] {
        assert_eq!(line.admits(&Need::contains(text)), is_there, "{text:?}");
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), runtime: runtime() }
    }

    fn open(&self) -> Arc<Store> {
        let config = StoreConfig {
            group_interval: Duration::ZERO,
            parts_per_day_max: 1,
            ..StoreConfig::new(self.dir.path())
        };
        Store::open(config, Arc::new(TestClock::default())).unwrap()
    }

    /// Two streams with 3 pages each and one file; row `n` of a stream has its number in it.
    fn append_and_flush(&self, store: &Arc<Store>, from: usize) {
        for app in ["web", "db"] {
            let mut rows = LogRows::default();
            let entries = (from..from + 3 * PAGE_ROWS).map(|n| LogRow {
                ts: TimestampNs(NOW_MS * 1_000_000 + i64::try_from(n).unwrap()),
                line: line_of(app, n).into(),
                metadata: vec![("trace".into(), format!("{app}-trace-{n}").into())],
            });
            rows.streams.push((vec![("app".into(), app.into())], entries.collect()));
            self.runtime.block_on(store.append_logs(&rows)).unwrap();
        }
        self.runtime.block_on(store.flush()).unwrap();
    }

    /// The pages that are read, and the lines that satisfy the filter.
    fn search(
        &self,
        store: &Store,
        filter: &Expr,
        is_wanted: impl Fn(&str) -> bool,
    ) -> (String, Vec<String>) {
        self.runtime.block_on(async {
            let context = SessionContext::new();
            let table = store.snapshot().logs();
            let filters = [filter.clone()];
            let plan = table.scan(&context.state(), None, &filters, None).await.unwrap();
            let shown = displayable(plan.as_ref()).one_line().to_string();
            let pages = shown.split(", pages=").nth(1).unwrap_or("all").trim().to_owned();
            let batches: Vec<_> =
                plan.execute(0, context.task_ctx()).unwrap().try_collect().await.unwrap();
            let mut lines = Vec::new();
            let mut last = (i64::MIN, i64::MIN);
            for batch in batches {
                let ids = batch.column(0).as_primitive::<Int64Type>().values();
                let ts = batch.column(1).as_primitive::<TimestampNanosecondType>().values();
                for ((line, id), ts) in batch.column(2).as_string::<i32>().iter().zip(ids).zip(ts) {
                    assert!(last <= (*id, *ts), "rows come in order");
                    last = (*id, *ts);
                    lines.extend(line.filter(|it| is_wanted(it)).map(str::to_owned));
                }
            }
            (pages, lines)
        })
    }

    /// The same lines, read block by block; how many blocks are read.
    fn search_blocks(
        &self,
        store: &Store,
        need: LineNeed,
        is_wanted: impl Fn(&str) -> bool,
    ) -> (usize, Vec<String>) {
        let snapshot = store.snapshot();
        let streams = snapshot.streams().select(&[], TimeRange::ALL);
        let mut ids: Vec<i64> = streams.into_iter().map(|(id, _)| id.0).collect();
        ids.sort_unstable();
        let (first, last) = (TimestampNs(i64::MIN), TimestampNs(i64::MAX));
        let wanted = LogWanted { ids, first, last, need };
        let blocks = self.runtime.block_on(snapshot.log_lines().open(wanted)).unwrap();
        let mut lines = Vec::new();
        for at in 0..blocks.infos().len() {
            let mut block = blocks.read(at).unwrap();
            block.load(LogColumns { metadata: true, ..LogColumns::LINES }).unwrap();
            for row in block.wanted.iter().cloned().flatten() {
                let line = block.data().line(row, &mut String::new()).to_owned();
                let n = block.ts[row] - NOW_MS * 1_000_000;
                let app = if line.contains("app=web") { "web" } else { "db" };
                let trace = format!("{app}-trace-{n}");
                assert_eq!(block.data().metadata(row).collect::<Vec<_>>(), [("trace", &*trace)]);
                lines.extend(Some(line).filter(|it| is_wanted(it)));
            }
        }
        (blocks.infos().len(), lines)
    }

    fn parts(&self) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        for day in std::fs::read_dir(self.dir.path().join("logs")).unwrap() {
            let day = day.unwrap().path();
            if day.file_name().unwrap().to_str().unwrap().starts_with("day=") {
                parts.extend(std::fs::read_dir(day).unwrap().map(|it| it.unwrap().path()));
            }
        }
        parts.sort();
        parts
    }
}

fn line_of(app: &str, n: usize) -> String {
    let id = xxhash_rust::xxh3::xxh3_128(format!("{app} {n}").as_bytes());
    let event = if n == 20_000 { "OutOfMemoryError" } else { "finished" };
    format!("level=info app={app} msg=\"request {event}\" n={n} trace_id={id:032x}")
}

type Wanted = Box<dyn Fn(&str) -> bool>;

/// Filters by how they are written, each with what a line must hold to satisfy it.
fn filters() -> Vec<(&'static str, Expr, Wanted)> {
    let line = || col("line");
    let has = |text: &'static str| {
        Box::new(move |it: &str| it.contains(text)) as Box<dyn Fn(&str) -> bool>
    };
    let trace = line_of("web", 12_345).split("trace_id=").nth(1).unwrap().to_owned();
    let trace_part = trace[4..26].to_owned();
    vec![
        ("in every page", contains(line(), lit("request")), has("request")),
        ("in one stream", contains(line(), lit("app=web ")), has("app=web ")),
        ("a word", contains(line(), lit("OfMemory")), has("OfMemory")),
        ("a number", contains(line(), lit("n=20001 ")), has("n=20001 ")),
        ("a trace", contains(line(), lit(trace.clone())), Box::new(move |it| it.contains(&trace))),
        (
            "a part of a trace",
            contains(line(), lit(trace_part.clone())),
            Box::new(move |it| it.contains(&trace_part)),
        ),
        ("nowhere", contains(line(), lit("zzz-no-such-text-qqq")), has("zzz-no-such-text-qqq")),
        (
            "a regex",
            regexp_like(line(), lit("(?i)REQUEST (failed|outof\\w+)"), None),
            has("OutOfMemory"),
        ),
        (
            "one of two",
            contains(line(), lit("n=17 ")).or(contains(line(), lit("OutOfMemory"))),
            Box::new(|it| it.contains("n=17 ") || it.contains("OutOfMemory")),
        ),
        (
            "metadata",
            get_field(col("metadata"), "trace").eq(lit("db-trace-9000")),
            has("app=db msg=\"request finished\" n=9000 "),
        ),
        (
            "not known",
            Expr::Not(Box::new(contains(line(), lit("n=7")))),
            Box::new(|it| !it.contains("n=7")),
        ),
    ]
}

fn searched(fixture: &Fixture, store: &Store) -> (String, Vec<Vec<String>>) {
    let (mut pages, mut lines) = (String::new(), Vec::new());
    for (name, filter, is_wanted) in filters() {
        let (read, found) = fixture.search(store, &filter, is_wanted);
        pages.push_str(&format!("{name}: pages {read}, lines {}\n", found.len()));
        lines.push(found);
    }
    (pages, lines)
}

#[test]
fn a_search_reads_the_pages_that_may_hold_its_text_and_a_merge_changes_no_answer() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fixture.append_and_flush(&store, 0);
    fixture.append_and_flush(&store, 3 * PAGE_ROWS);
    let (pages, lines) = searched(&fixture, &store);
    expect![[r#"
        in every page: pages 12/12, lines 98304
        in one stream: pages 6/12, lines 49152
        a word: pages 2/12, lines 2
        a number: pages 2/12, lines 2
        a trace: pages 1/12, lines 1
        a part of a trace: pages 2/12, lines 1
        nowhere: pages 0/12, lines 0
        a regex: pages 2/12, lines 2
        one of two: pages 4/12, lines 4
        metadata: pages 1/12, lines 1
        not known: pages all, lines 96082
    "#]]
    .assert_eq(&pages);
    assert_eq!(fixture.parts().len(), 2);

    fixture.runtime.block_on(store.compact()).unwrap();
    let (pages, merged) = searched(&fixture, &store);
    expect![[r#"
        in every page: pages 12/12, lines 98304
        in one stream: pages 6/12, lines 49152
        a word: pages 2/12, lines 2
        a number: pages 3/12, lines 2
        a trace: pages 1/12, lines 1
        a part of a trace: pages 3/12, lines 1
        nowhere: pages 0/12, lines 0
        a regex: pages 2/12, lines 2
        one of two: pages 4/12, lines 4
        metadata: pages 1/12, lines 1
        not known: pages all, lines 96082
    "#]]
    .assert_eq(&pages);
    assert_eq!(fixture.parts().len(), 1);
    assert!(lines == merged, "a merge changes no answer");
}

#[test]
fn blocks_are_the_pages_that_may_hold_a_text_and_have_the_same_lines() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fixture.append_and_flush(&store, 0);
    fixture.append_and_flush(&store, 3 * PAGE_ROWS);
    for is_merged in [false, true] {
        let any = |_: &str| true;
        let (_, lines) = fixture.search(&store, &contains(col("line"), lit("")), any);
        let (n_blocks, found) = fixture.search_blocks(&store, LineNeed::NOTHING, any);
        assert_eq!(n_blocks, 12);
        assert!(lines.len() == 12 * PAGE_ROWS && sorted(lines) == sorted(found));
        let memory = |it: &str| it.contains("OfMemory");
        let need = LineNeed::Contains("OfMemory".to_owned());
        let (n_blocks, found) = fixture.search_blocks(&store, need, memory);
        assert_eq!((n_blocks, found.len()), (2, 2));
        let need = LineNeed::Pair { name: "trace".to_owned(), value: "db-trace-9000".to_owned() };
        let (n_blocks, found) = fixture.search_blocks(&store, need, |it| it.contains("n=9000 "));
        assert_eq!((n_blocks, found.len()), (1, 1));
        if !is_merged {
            fixture.runtime.block_on(store.compact()).unwrap();
        }
    }
}

#[test]
fn blocks_of_long_lines_have_few_rows() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let line = |n: usize| format!("line {n} {}", format!("of {} words ", n % 7).repeat(4_000));
    let mut rows = LogRows::default();
    let entries = (0..600).map(|n| LogRow {
        ts: TimestampNs(NOW_MS * 1_000_000 + i64::try_from(n).unwrap()),
        line: line(n).into(),
        metadata: vec![("trace".into(), format!("db-trace-{n}").into())],
    });
    rows.streams.push((vec![("app".into(), "db".into())], entries.collect()));
    fixture.runtime.block_on(store.append_logs(&rows)).unwrap();
    let expected = sorted((0..600).map(line).collect());
    let (n_blocks, found) = fixture.search_blocks(&store, LineNeed::NOTHING, |_| true);
    assert!(n_blocks > 2, "in memory: {n_blocks}");
    assert!(sorted(found) == expected);
    fixture.runtime.block_on(store.flush()).unwrap();
    let (n_blocks, found) = fixture.search_blocks(&store, LineNeed::NOTHING, |_| true);
    assert!(n_blocks > 2, "in a part: {n_blocks}");
    assert!(sorted(found) == expected);
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn a_damaged_index_costs_time_and_no_answer() {
    let fixture = Fixture::new();
    let store = fixture.open();
    fixture.append_and_flush(&store, 0);
    let (_, lines) = searched(&fixture, &store);
    fixture.runtime.block_on(store.close());
    drop(store);

    let [path] = &fixture.parts()[..] else { panic!("one part") };
    let bytes = std::fs::read(path).unwrap();
    let footer = parquet::file::metadata::ParquetMetaDataReader::new()
        .parse_and_finish(&File::open(path).unwrap())
        .unwrap();
    let mut place = footer.file_metadata().key_value_metadata().unwrap().iter();
    let place = place.find(|it| it.key == super::WORDS_KEY).unwrap();
    let place = place.value.clone().unwrap();
    let head: u64 = place.split(' ').next().unwrap().parse().unwrap();
    // The first filter lies before the first row group.
    for (damaged_at, n_damaged) in [(head + 9, 1), (4 + 100, 1), (0, 0)] {
        std::fs::write(path, &bytes).unwrap();
        let store = fixture.open();
        // The file's checksum is computed at the first look at it, which is none at its index.
        fixture.search(&store, &lit(true), |_| true);
        if n_damaged > 0 {
            let file = File::options().write(true).open(path).unwrap();
            let byte = bytes[usize::try_from(damaged_at).unwrap()] ^ 0x55;
            file.write_all_at(&[byte], damaged_at).unwrap();
        }
        let (_, found) = searched(&fixture, &store);
        assert!(found == lines, "damage at {damaged_at} changes no answer");
        assert_eq!(store.stats().n_damaged_indexes, n_damaged, "damage at {damaged_at}");
        fixture.runtime.block_on(store.close());
    }
}

#[test]
fn a_pair_is_not_the_same_pair_cut_elsewhere() {
    assert_ne!(hash_pair("ab", "c"), hash_pair("a", "bc"));
    assert_ne!(hash_pair("a", "b"), hash_pair("b", "a"));
    assert_ne!(hash_pair("", "a"), hash_pair("a", ""));
}
