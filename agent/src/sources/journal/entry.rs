//! A journal entry as a log record: which fields become the stream, which the line, and how the
//! rest is kept.
//!
//! | journal | record |
//! | :-- | :-- |
//! | `MESSAGE` | the line |
//! | `_SYSTEMD_UNIT`, see [`unit_field`] | label `unit` |
//! | `PRIORITY` 0 to 7 | label `level`: emerg, alert, crit, error, warning, notice, info, debug |
//! | `_TRANSPORT` | label `transport` |
//! | any other field | structured metadata under the same name |
//! | a value that is not UTF-8 | base64 under `NAME_BASE64` |
//! | the second value of a field, the third… | `NAME_2`, `NAME_3`… |
//! | address fields (`__CURSOR`…) | left out: they describe the file, not the entry |
//!
//! The time stamp is `__REALTIME_TIMESTAMP` plus (the entry's sequence number mod 1000)
//! nanoseconds. Two equal lines of one microsecond so stay two entries, and an entry that is sent
//! again, even by a restarted agent, is the same entry.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use skep_proto::{LabelsBuilder, LogEntry, TimestampNs};

use crate::sources::LogRecord;

/// Bounds one value; journald itself takes 768 MB (core dumps). What is cut off is said in
/// [`TRUNCATED_FIELD`].
pub(crate) const VALUE_BYTES_MAX: usize = 256 << 10;
/// Bounds all values of an entry together.
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Names the fields that lost their ends, separated by spaces.
const TRUNCATED_FIELD: &str = "SKEP_TRUNCATED";

/// An entry as libsystemd gives it.
#[derive(Debug, Default)]
pub(crate) struct JournalEntry {
    /// `__REALTIME_TIMESTAMP`, in microseconds.
    pub(crate) realtime_us: u64,
    /// The address of the entry, which holds its sequence number.
    pub(crate) cursor: String,
    /// In the order of the file; a name may come more than once.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
}

/// Whether fields become labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Labels,
    /// All fields are metadata; `host` is no label either.
    Bare,
}

/// `host` is a label of every stream, beside `extra` ones from the configuration.
pub(crate) fn to_record(
    entry: JournalEntry,
    host: &str,
    extra: &[(String, String)],
    naming: Naming,
) -> LogRecord {
    let ts = timestamp(entry.realtime_us, &entry.cursor);
    let fields = bounded(entry.fields);
    let unit_field = unit_field(&fields);
    let mut stream = LabelsBuilder::default();
    for (name, value) in extra {
        stream.set(name, value);
    }
    stream.set("job", "systemd-journal");
    if naming == Naming::Labels {
        stream.set("host", host);
    }
    let mut line = None;
    let mut metadata = Metadata::default();
    for (name, value) in fields.into_iter().filter(|(name, _)| !name.starts_with("__")) {
        let label = match name.as_str() {
            _ if naming == Naming::Bare => None,
            "PRIORITY" => Some("level"),
            "_TRANSPORT" => Some("transport"),
            _ if Some(name.as_str()) == unit_field => Some("unit"),
            _ => None,
        };
        let value = match String::from_utf8(value) {
            Ok(value) => value,
            Err(error) => {
                metadata.push(format!("{name}_BASE64"), BASE64_STANDARD.encode(error.as_bytes()));
                continue;
            }
        };
        match label {
            Some("level") if let Some(level) = level(&value) => drop(stream.set("level", level)),
            Some(label) if label != "level" && is_free(&stream, label) && !value.is_empty() => {
                stream.set(label, &value);
            }
            None if name == "MESSAGE" && line.is_none() => line = Some(value),
            _ => metadata.push(name, value),
        }
    }
    let metadata = metadata.into_sorted();
    let entry = LogEntry { ts, line: line.unwrap_or_default(), metadata };
    LogRecord { stream: stream.build(), entry }
}

/// Which field names the unit an entry is about. systemd writes about a unit under its own unit,
/// `init.scope`; `journalctl -u` asks for the same fields.
fn unit_field(fields: &[(String, Vec<u8>)]) -> Option<&'static str> {
    let value = |wanted: &str| {
        fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice())
    };
    let is_root = value("_UID") == Some(b"0");
    let is_system_manager = value("_PID") == Some(b"1");
    let is_user_manager = value("_SYSTEMD_USER_UNIT") == Some(b"init.scope");
    [
        ("UNIT", is_system_manager),
        ("USER_UNIT", is_user_manager),
        ("COREDUMP_UNIT", is_root),
        ("OBJECT_SYSTEMD_UNIT", is_root),
        ("_SYSTEMD_UNIT", true),
    ]
    .into_iter()
    .find(|(name, is_trusted)| *is_trusted && value(name).is_some())
    .map(|(name, _)| name)
}

pub(super) fn level(priority: &str) -> Option<&'static str> {
    Some(match priority {
        "0" => "emerg",
        "1" => "alert",
        "2" => "crit",
        "3" => "error",
        "4" => "warning",
        "5" => "notice",
        "6" => "info",
        "7" => "debug",
        _ => return None,
    })
}

fn is_free(stream: &LabelsBuilder, label: &str) -> bool {
    stream.get(label).is_empty()
}

fn timestamp(realtime_us: u64, cursor: &str) -> TimestampNs {
    let nanos = seqnum(cursor).unwrap_or(0) % 1_000;
    let ts = realtime_us.saturating_mul(1_000).saturating_add(nanos);
    TimestampNs(i64::try_from(ts).unwrap_or(i64::MAX))
}

/// The `i=` of `s=…;i=1f;b=…;m=…;t=…;x=…`.
fn seqnum(cursor: &str) -> Option<u64> {
    let digits = cursor.split(';').find_map(|it| it.strip_prefix("i="))?;
    u64::from_str_radix(digits, 16).ok()
}

/// Cuts values that are too long; a cut inside a character is moved to its start.
fn bounded(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut n_bytes_left = ENTRY_BYTES_MAX;
    let mut truncated = Vec::new();
    for (name, value) in &mut fields {
        let n_bytes_max = n_bytes_left.min(VALUE_BYTES_MAX);
        if value.len() > n_bytes_max {
            let is_text = str::from_utf8(value).is_ok();
            let starts_character = |it: &u8| !is_text || (*it & 0xc0) != 0x80;
            let n_kept = (0..=n_bytes_max)
                .rev()
                .find(|idx| value.get(*idx).is_some_and(starts_character))
                .unwrap_or(0);
            value.truncate(n_kept);
            truncated.push(name.clone());
        }
        n_bytes_left -= value.len();
    }
    if !truncated.is_empty() {
        fields.push((TRUNCATED_FIELD.to_owned(), truncated.join(" ").into_bytes()));
    }
    fields
}

/// Pairs with unique names.
#[derive(Default)]
struct Metadata(Vec<(String, String)>);

impl Metadata {
    fn push(&mut self, name: String, value: String) {
        let is_taken = |name: &str| self.0.iter().any(|(it, _)| it == name);
        let name = if is_taken(&name) {
            (2..)
                .map(|n| format!("{name}_{n}"))
                .find(|it| !is_taken(it))
                .expect("fewer fields than numbers")
        } else {
            name
        };
        self.0.push((name, value));
    }

    fn into_sorted(mut self) -> Vec<(String, String)> {
        self.0.sort_unstable();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    fn entry(fields: &[(&str, &[u8])]) -> JournalEntry {
        JournalEntry {
            realtime_us: 1_790_000_000_000_001,
            cursor: "s=ab;i=7d1;b=cd;m=1;t=2;x=3".to_owned(),
            fields: fields.iter().map(|(name, it)| ((*name).to_owned(), it.to_vec())).collect(),
        }
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
    fn check(fields: &[(&str, &[u8])], expected: Expect) {
        let record = to_record(entry(fields), "lab1", &[], Naming::Labels);
        let mut out = format!("{} {:?}\n", record.stream, record.entry.line);
        for (name, value) in record.entry.metadata {
            writeln!(out, "  {name}={value}").unwrap();
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn a_service_line_keeps_every_field() {
        check(
            &[
                ("__MONOTONIC_TIMESTAMP", b"5"),
                ("MESSAGE", "größe".as_bytes()),
                ("PRIORITY", b"4"),
                ("_TRANSPORT", b"stdout"),
                ("SYSLOG_IDENTIFIER", b"nginx"),
                ("_SYSTEMD_UNIT", b"nginx.service"),
                ("_PID", b"812"),
                ("_HOSTNAME", b"other"),
            ],
            expect![[r#"
                {host="lab1", job="systemd-journal", level="warning", transport="stdout", unit="nginx.service"} "größe"
                  SYSLOG_IDENTIFIER=nginx
                  _HOSTNAME=other
                  _PID=812
            "#]],
        );
    }

    #[test]
    fn what_systemd_says_about_a_unit_belongs_to_that_unit() {
        check(
            &[
                ("_PID", b"1"),
                ("_SYSTEMD_UNIT", b"init.scope"),
                ("UNIT", b"foo.service"),
                ("MESSAGE", b"Started foo."),
            ],
            expect![[r#"
                {host="lab1", job="systemd-journal", unit="foo.service"} "Started foo."
                  _PID=1
                  _SYSTEMD_UNIT=init.scope
            "#]],
        );
        check(
            &[
                ("_UID", b"0"),
                ("_SYSTEMD_UNIT", b"systemd-journald.service"),
                ("OBJECT_SYSTEMD_UNIT", b"loud.service"),
                ("MESSAGE", b"Suppressed 5 messages."),
            ],
            expect![[r#"
                {host="lab1", job="systemd-journal", unit="loud.service"} "Suppressed 5 messages."
                  _SYSTEMD_UNIT=systemd-journald.service
                  _UID=0
            "#]],
        );
        check(
            &[
                ("_SYSTEMD_UNIT", b"user@1000.service"),
                ("_SYSTEMD_USER_UNIT", b"init.scope"),
                ("USER_UNIT", b"mpd.service"),
            ],
            expect![[r#"
                {host="lab1", job="systemd-journal", unit="mpd.service"} ""
                  _SYSTEMD_UNIT=user@1000.service
                  _SYSTEMD_USER_UNIT=init.scope
            "#]],
        );
    }

    #[test]
    fn a_program_cannot_put_its_lines_under_another_unit() {
        check(
            &[
                ("_PID", b"77"),
                ("_UID", b"1000"),
                ("UNIT", b"sshd.service"),
                ("OBJECT_SYSTEMD_UNIT", b"sshd.service"),
                ("_SYSTEMD_UNIT", b"evil.service"),
            ],
            expect![[r#"
                {host="lab1", job="systemd-journal", unit="evil.service"} ""
                  OBJECT_SYSTEMD_UNIT=sshd.service
                  UNIT=sshd.service
                  _PID=77
                  _UID=1000
            "#]],
        );
    }

    #[test]
    fn odd_values_are_kept_in_another_form() {
        check(
            &[
                ("MESSAGE", b"\xff\x00"),
                ("PRIORITY", b"9"),
                ("TAG", b"a"),
                ("TAG", b"b"),
                ("TAG_2", b"c"),
                ("TAG", b"d"),
                ("SYSLOG_IDENTIFIER", b"one"),
                ("SYSLOG_IDENTIFIER", b"two"),
                ("EMPTY", b""),
            ],
            expect![[r#"
                {host="lab1", job="systemd-journal"} ""
                  EMPTY=
                  MESSAGE_BASE64=/wA=
                  PRIORITY=9
                  SYSLOG_IDENTIFIER=one
                  SYSLOG_IDENTIFIER_2=two
                  TAG=a
                  TAG_2=b
                  TAG_2_2=c
                  TAG_3=d
            "#]],
        );
    }

    #[test]
    fn the_stamp_is_the_same_for_the_same_entry_and_tells_neighbours_apart() {
        let stamp = |cursor: &str| timestamp(1_000, cursor);
        assert_eq!(stamp("s=ab;i=7d1;b=cd"), TimestampNs(1_000_001));
        assert_eq!(stamp("s=ab;i=7d2;b=cd"), TimestampNs(1_000_002));
        assert_eq!(stamp("odd"), TimestampNs(1_000_000));
        assert_eq!(timestamp(u64::MAX, "i=1"), TimestampNs(i64::MAX));
    }

    #[test]
    fn a_huge_value_is_cut_between_characters_and_that_is_said() {
        let huge = "é".repeat(VALUE_BYTES_MAX);
        let record = to_record(entry(&[("MESSAGE", huge.as_bytes())]), "lab1", &[], Naming::Labels);
        assert_eq!(record.entry.line.len(), VALUE_BYTES_MAX);
        assert_eq!(record.entry.metadata, [(TRUNCATED_FIELD.to_owned(), "MESSAGE".to_owned())]);
        let odd = format!("x{huge}");
        let record = to_record(entry(&[("MESSAGE", odd.as_bytes())]), "lab1", &[], Naming::Labels);
        assert_eq!(record.entry.line.len(), VALUE_BYTES_MAX - 1);
    }

    #[test]
    fn an_entry_is_bounded_as_a_whole() {
        let value = vec![b'x'; VALUE_BYTES_MAX];
        let fields: Vec<(&str, &[u8])> = vec![("F", &value); 9];
        let record = to_record(entry(&fields), "lab1", &[], Naming::Labels);
        let n_bytes: usize = record.entry.metadata.iter().map(|(_, it)| it.len()).sum();
        assert!(n_bytes <= ENTRY_BYTES_MAX + 64, "{n_bytes} bytes");
    }
}
