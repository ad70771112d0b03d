//! Stage `timestamp`: a value becomes the entry's time, read by a layout as Go has them.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::Value as Json;
use skep_proto::{
    Labels, TimestampNs,
    go_time::{Time, Zone},
};

use super::{Builder, Context, Entry, Process, Stage, StageError, settings};

/// Streams whose last time is remembered, for lines whose time cannot be read.
const LAST_KNOWN_MAX: usize = 10_000;
const NS_PER_S: i64 = 1_000_000_000;

/// Layouts that have names.
const NAMED: [(&str, &str); 10] = [
    ("ANSIC", "Mon Jan _2 15:04:05 2006"),
    ("UnixDate", "Mon Jan _2 15:04:05 MST 2006"),
    ("RubyDate", "Mon Jan 02 15:04:05 -0700 2006"),
    ("RFC822", "02 Jan 06 15:04 MST"),
    ("RFC822Z", "02 Jan 06 15:04 -0700"),
    ("RFC850", "Monday, 02-Jan-06 15:04:05 MST"),
    ("RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"),
    ("RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"),
    ("RFC3339", "2006-01-02T15:04:05Z07:00"),
    ("RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    source: String,
    #[serde(default)]
    format: String,
    #[serde(default)]
    fallback_formats: Vec<String>,
    location: Option<String>,
    action_on_failure: Option<String>,
}

#[derive(Debug, Clone)]
struct TimestampStage {
    source: String,
    formats: Vec<Format>,
    zone: Zone,
    /// `None`: a line whose time cannot be read keeps the one it has.
    last_known: Option<LastKnown>,
}

#[derive(Debug, Clone)]
enum Format {
    /// A whole number of this many to a second.
    Unix(i64),
    Layout(String),
    /// The year is that of now, or the one next to it at the turn of the year.
    WithoutYear(String),
}

/// The last time of a stream, by its labels; the oldest stream goes where there are too many.
#[derive(Debug, Clone, Default)]
struct LastKnown {
    times: BTreeMap<Labels, TimestampNs>,
    order: VecDeque<Labels>,
}

pub(super) fn build(config: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    let raw: Settings = settings(config)?;
    if raw.source.is_empty() {
        return Err(StageError::Invalid(
            "timestamp source value is required if timestamp is specified",
        ));
    }
    if raw.format.is_empty() {
        return Err(StageError::Invalid("timestamp format is required"));
    }
    let zone = match raw.location {
        None => Zone::Utc,
        Some(name) => Zone::find(&name).ok_or(StageError::Location(name))?,
    };
    let last_known = match raw.action_on_failure.as_deref() {
        None | Some("fudge") => Some(LastKnown::default()),
        Some("skip") => None,
        Some(_) => {
            return Err(StageError::Invalid(
                "invalid action on failure (supported values are [skip fudge])",
            ));
        }
    };
    let formats = [raw.format].into_iter().chain(raw.fallback_formats);
    let formats = formats.map(|it| Format::parse(&it)).collect();
    Ok(Box::new(TimestampStage { source: raw.source, formats, zone, last_known }))
}

impl Process for TimestampStage {
    fn process(&mut self, entry: &mut Entry, context: &mut Context) -> bool {
        let now = context.clock.now();
        let text = entry.extracted.get(&self.source).and_then(|it| it.text());
        let read = text.and_then(|it| {
            self.formats.iter().find_map(|format| format.read(&it, &self.zone, now))
        });
        if let Some(ts) = read {
            entry.ts = ts;
        }
        let Some(last_known) = &mut self.last_known else { return true };
        let labels = entry.labels.clone().build();
        match read {
            Some(ts) => last_known.set(labels, ts),
            None => {
                if let Some(last) = last_known.times.get(&labels) {
                    entry.ts = TimestampNs(last.0.saturating_add(1));
                    last_known.set(labels, entry.ts);
                }
            }
        }
        true
    }
}

impl LastKnown {
    fn set(&mut self, labels: Labels, ts: TimestampNs) {
        if let Some(it) = self.times.get_mut(&labels) {
            *it = ts;
            return;
        }
        if self.order.len() >= LAST_KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.times.remove(&oldest);
        }
        self.order.push_back(labels.clone());
        self.times.insert(labels, ts);
    }
}

impl Format {
    fn parse(text: &str) -> Self {
        match text {
            "Unix" => Self::Unix(1),
            "UnixMs" => Self::Unix(1_000),
            "UnixUs" => Self::Unix(1_000_000),
            "UnixNs" => Self::Unix(NS_PER_S),
            text => match NAMED.iter().find(|(name, _)| *name == text) {
                Some((_, layout)) => Self::Layout((*layout).to_owned()),
                None if text.contains("06") => Self::Layout(text.to_owned()),
                None => Self::WithoutYear(text.to_owned()),
            },
        }
    }

    fn read(&self, text: &str, zone: &Zone, now: TimestampNs) -> Option<TimestampNs> {
        let time = match self {
            Self::Unix(1) if text.matches('.').count() == 1 => return unix_with_fraction(text),
            Self::Unix(per_second) => {
                let ns = text.parse::<i64>().ok()?.checked_mul(NS_PER_S / per_second)?;
                return Some(TimestampNs(ns));
            }
            Self::Layout(layout) => Time::try_parse(layout, text, zone)?,
            Self::WithoutYear(layout) => {
                let month = |it: &Time| it.format("1");
                let now = Time::unix_ns(now.0);
                let year: i32 = now.format("2006").parse().ok()?;
                let without = Time::try_parse(layout, text, zone)?.in_zone(zone.clone());
                let year = match (month(&without).as_str(), month(&now).as_str()) {
                    ("12", "1") => year - 1,
                    ("1", "12") => year + 1,
                    _ => year,
                };
                Time::try_parse(&format!("{layout} 2006"), &format!("{text} {year:04}"), zone)?
            }
        };
        let ns = time.unix_s().checked_mul(NS_PER_S)?.checked_add(time.nanos().into())?;
        Some(TimestampNs(ns))
    }
}

/// `1700000000.25`
fn unix_with_fraction(text: &str) -> Option<TimestampNs> {
    let (seconds, fraction) = text.split_once('.')?;
    let seconds: i64 = seconds.parse().ok()?;
    let n_digits = i32::try_from(fraction.len()).ok()?;
    let fraction: i64 = fraction.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "Promtail computes with floats, too"
    )]
    let nanos = (fraction as f64 * 10_f64.powi(9 - n_digits)) as i64;
    seconds.checked_mul(NS_PER_S)?.checked_add(nanos).map(TimestampNs)
}
