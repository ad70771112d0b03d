//! What level a line has; the cases are what Loki 3.7's rules say.

use proptest::prelude::*;
use skep_proto::TimestampNs;

use super::*;

#[track_caller]
fn check(line: &str, expected: &str) {
    assert_eq!(LevelFields::default().of_line(line), expected, "{line}");
}

#[test]
fn a_word_counts_where_it_stands_alone() {
    for (line, expected) in [
        ("", "unknown"),
        ("simple line", "unknown"),
        ("Error: something failed", "error"),
        ("ERROR upper", "error"),
        ("[WARN] disk", "warn"),
        ("2024-01-01 Warning, low", "warn"),
        ("Err", "error"),
        ("an INFO", "info"),
        ("info_x err-y", "error"),
        ("informational", "unknown"),
        ("referrer", "unknown"),
        ("terror", "unknown"),
        ("critical fatal debug trace", "trace"),
        ("info warn error", "error"),
        ("errno 5", "unknown"),
        // Only the first occurrence counts.
        ("errors: error", "unknown"),
        ("errors: err", "unknown"),
        ("warnings: warn", "unknown"),
        ("tracer x info", "info"),
        // By the byte before, as if it were Latin-1: `é` ends in a sign, `ê` in a letter.
        ("\u{e9}info", "info"),
        ("\u{ea}info", "unknown"),
        ("\u{ca}info", "unknown"),
        ("info\u{e9}", "unknown"),
        ("info\u{5d0}", "info"),
        ("\u{1b}[31merror\u{1b}[0m", "unknown"),
        ("\u{1b}[31m error\u{1b}[0m", "error"),
    ] {
        check(line, expected);
    }
}

#[test]
fn json_has_its_level_in_its_first_two_layers() {
    for (line, expected) in [
        (r#"{"level":"warn"}"#, "warn"),
        (r#" {"msg":"an error","LEVEL" : "Information"} "#, "info"),
        (r#"{"log":{"severity":"err"}}"#, "error"),
        (r#"{"a":{"b":{"level":"debug"}},"lvl":"trc"}"#, "trace"),
        (r#"{"a":{},"b":[{"level":"warn"}],"c":null,"d":-1.5e3,"lvl":"DBG"}"#, "debug"),
        // Names count in their own case, levels in any; numbers are none.
        (r#"{"lEVEL":"warn"}"#, "warn"),
        (r#"{"lEVEL":"wrn"}"#, "unknown"),
        (r#"{"level":30,"severity":"fatal"}"#, "fatal"),
        // Whatever else the field holds, the line is searched.
        (r#"{"level":"notice"}"#, "unknown"),
        (r#"{"level":"notice","msg":"error"}"#, "error"),
        (r#"{"log.level":"critical"}"#, "critical"),
        (r#"{"level":"warn""#, "warn"),
        (r#"{"a":"\"level\":\"info\"","level":"error"}"#, "error"),
        (r#"{"a":1 "level":"wrn"}"#, "unknown"),
        ("{}", "unknown"),
        ("{{{}}}", "unknown"),
        ("{\"a\\", "unknown"),
        (r#"{"a":"\"}"#, "unknown"),
    ] {
        check(line, expected);
    }
}

#[test]
fn logfmt_has_its_level_under_the_name_that_counts_most() {
    for (line, expected) in [
        ("level=warn msg=x", "warn"),
        ("lvl=dbg severity=err", "error"),
        ("LVL=dbg Level=wrn", "warn"),
        (r#"msg="an error = \" here" level="INF""#, "info"),
        ("ts=1 caller level=trace", "trace"),
        ("level= msg=error", "error"),
        // Behind damage nothing is found but words.
        (r#"GET "x" a=b level=wrn"#, "unknown"),
        ("a=b=c level=wrn", "unknown"),
        ("=x level=wrn", "unknown"),
        ("level=warning\tx=y", "warn"),
        ("level=\"unterminated error", "error"),
        ("url=/?level=wrn", "unknown"),
    ] {
        check(line, expected);
    }
}

fn entry<'a>(line: &'a str, metadata: &[(&'a str, &'a str)]) -> LogRow<'a> {
    let metadata = metadata.iter().map(|(k, v)| (Cow::Borrowed(*k), Cow::Borrowed(*v)));
    LogRow { ts: TimestampNs(0), line: line.into(), metadata: metadata.collect() }
}

#[test]
fn labels_and_metadata_come_first() {
    let fields = LevelFields::default();
    let level =
        |metadata: &[(&str, &str)]| fields.of_entry(&entry("level=warn", metadata)).into_owned();
    assert_eq!(level(&[]), "warn");
    assert_eq!(level(&[("SEVERITY", "Notice"), ("severity", "ERR")]), "error");
    assert_eq!(level(&[("SEVERITY", "Notice")]), "Notice");
    assert_eq!(level(&[("severity_number", "17")]), "error");
    for (number, expected) in [
        ("0", "unknown"),
        ("1", "trace"),
        ("8", "debug"),
        ("12", "info"),
        ("13", "warn"),
        ("24", "fatal"),
        ("25", "unknown"),
        ("x", "info"),
        ("-3", "trace"),
    ] {
        assert_eq!(level(&[("severity_number", number)]), expected, "{number}");
    }
    let labels = [(Cow::Borrowed("level"), Cow::Borrowed("WARNING"))];
    assert_eq!(fields.of_labels(&labels).as_deref(), Some("warn"));
    assert_eq!(fields.of_labels(&[]), None);
}

#[test]
fn other_names_and_depths_can_be_set() {
    let fields = LevelFields::new(["prio"], 1);
    assert_eq!(fields.of_line(r#"{"level":"wrn","prio":"err"}"#), "error");
    assert_eq!(fields.of_line(r#"{"a":{"prio":"dbg"}}"#), "unknown");
    assert_eq!(fields.of_line("level=wrn PRIO=err"), "error");
    let unbounded = LevelFields::new([], 0);
    assert_eq!(unbounded.of_line(r#"{"a":{"b":{"c":{"level":"err"}}}}"#), "error");
}

/// Loki's rule for words, word by word.
fn level_by_the_book(line: &str) -> &'static str {
    const BOOK: [(&str, &str); 9] = [
        ("trace", "trace"),
        ("debug", "debug"),
        ("fatal", "fatal"),
        ("critical", "critical"),
        ("error", "error"),
        ("err", "error"),
        ("warning", "warn"),
        ("warn", "warn"),
        ("info", "info"),
    ];
    let line = line.to_lowercase();
    let is_edge = |it: Option<&u8>| {
        it.is_none_or(|it| {
            let it = char::from(*it);
            !it.is_alphabetic() && !it.is_ascii_digit() && it != '_'
        })
    };
    let stands_alone = |word: &str| {
        line.find(word).is_some_and(|at| {
            let bytes = line.as_bytes();
            is_edge(at.checked_sub(1).and_then(|it| bytes.get(it)))
                && is_edge(bytes.get(at + word.len()))
        })
    };
    BOOK.iter().find(|(word, _)| stands_alone(word)).map_or("unknown", |(_, level)| level)
}

proptest! {
    #[test]
    fn one_pass_finds_what_a_search_for_each_word_finds(
        parts in prop::collection::vec(
            prop_oneof![
                Just("info"), Just("WARN"), Just("Warning"), Just("err"), Just("error"), Just("s"),
                Just("trace"), Just("Debug"), Just("fatal"), Just("critical"), Just(" "), Just("["),
                Just("_"), Just("1"), Just("\u{e9}"), Just("\u{ca}"), Just("\u{5d0}"), Just("er"),
            ],
            0..9,
        )
    ) {
        let line = parts.concat();
        prop_assert_eq!(word::level(&line), level_by_the_book(&line), "{}", line);
    }

    #[test]
    fn any_line_has_a_level(line in "[\\[\\]{}\":,=\\\\ a-l\u{e9}]{0,40}") {
        prop_assert!(!LevelFields::new([], 0).of_line(&line).is_empty());
    }
}
