//! Go's `time.Time`: a moment and the zone it is shown in.

mod layout;

use std::fmt;

use chrono::{
    DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, Offset as _, TimeDelta,
    TimeZone as _, Utc,
};
use chrono_tz::Tz;

/// Go's zero time, 1 January of year 1.
const ZERO_S: i64 = -62_135_596_800;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    utc: DateTime<Utc>,
    zone: Zone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    Utc,
    Named(Tz),
    /// Seconds east of Greenwich, and a name that may be empty.
    Fixed(i32, String),
}

impl Time {
    pub fn zero() -> Self {
        Self::unix(ZERO_S, 0)
    }

    /// A moment outside of what a calendar can show becomes the zero time.
    pub fn unix(seconds: i64, nanos: u32) -> Self {
        let utc = DateTime::from_timestamp(seconds, nanos).unwrap_or_default();
        Self { utc, zone: Zone::Utc }
    }

    pub fn unix_ns(ns: i64) -> Self {
        Self { utc: DateTime::from_timestamp_nanos(ns), zone: Zone::Utc }
    }

    /// Local time in a zone; an hour that a clock change skips is taken as if it had not.
    pub fn from_local(local: NaiveDateTime, zone: Zone) -> Self {
        let utc = match &zone {
            Zone::Utc => local.and_utc(),
            Zone::Fixed(seconds, _) => shifted(local, -*seconds).and_utc(),
            Zone::Named(tz) => match tz.from_local_datetime(&local) {
                LocalResult::Single(it) | LocalResult::Ambiguous(it, _) => it.with_timezone(&Utc),
                LocalResult::None => {
                    let offset = tz.offset_from_utc_datetime(&shifted(local, -86_400)).fix();
                    shifted(local, -offset.local_minus_utc()).and_utc()
                }
            },
        };
        Self { utc, zone }
    }

    pub fn is_zero(&self) -> bool {
        self.unix_s() == ZERO_S && self.nanos() == 0
    }

    pub fn unix_s(&self) -> i64 {
        self.utc.timestamp()
    }

    pub fn unix_us(&self) -> i64 {
        self.utc.timestamp_micros()
    }

    pub fn unix_ms(&self) -> i64 {
        self.utc.timestamp_millis()
    }

    /// Wraps around, as Go's does, where nanoseconds do not fit.
    pub fn to_ns(&self) -> i64 {
        self.unix_s().wrapping_mul(1_000_000_000).wrapping_add(i64::from(self.nanos()))
    }

    pub fn nanos(&self) -> u32 {
        self.utc.timestamp_subsec_nanos()
    }

    pub fn in_zone(&self, zone: Zone) -> Self {
        Self { utc: self.utc, zone }
    }

    /// What a clock on the wall of the zone shows.
    pub fn local(&self) -> NaiveDateTime {
        self.utc
            .naive_utc()
            .checked_add_signed(TimeDelta::seconds(self.offset_s().into()))
            .unwrap_or_default()
    }

    /// Seconds east of Greenwich.
    pub fn offset_s(&self) -> i32 {
        match &self.zone {
            Zone::Utc => 0,
            Zone::Fixed(seconds, _) => *seconds,
            Zone::Named(tz) => self.tz_offset(*tz).0.local_minus_utc(),
        }
    }

    fn tz_offset(&self, tz: Tz) -> (FixedOffset, String) {
        let local = self.utc.with_timezone(&tz);
        let name = chrono_tz::OffsetName::abbreviation(local.offset());
        (local.offset().fix(), name.unwrap_or_default().to_owned())
    }

    /// `UTC`, `CET`, or `+0130` where a zone has no name.
    pub fn zone_name(&self) -> String {
        let name = match &self.zone {
            Zone::Utc => "UTC".to_owned(),
            Zone::Fixed(_, name) => name.clone(),
            Zone::Named(tz) => self.tz_offset(*tz).1,
        };
        if name.is_empty() { offset_text(self.offset_s(), "", false) } else { name }
    }

    pub fn format(&self, layout: &str) -> String {
        layout::format(self, layout)
    }

    /// Reads a text by a layout; the zero time where it does not fit.
    pub fn parse(layout: &str, text: &str, zone: &Zone) -> Self {
        Self::try_parse(layout, text, zone).unwrap_or_else(Self::zero)
    }

    /// Reads a text by a layout; parts that the layout lacks are those of year 0.
    pub fn try_parse(layout: &str, text: &str, zone: &Zone) -> Option<Self> {
        layout::parse(layout, text, zone)
    }
}

impl Zone {
    /// A zone by its name in the IANA database; an unknown one counts as UTC.
    pub fn named(name: &str) -> Self {
        Self::find(name).unwrap_or(Self::Utc)
    }

    /// A zone by its name in the IANA database.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" | "Local" => Some(Self::Utc),
            name => name.parse().ok().map(Self::Named),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn shifted(local: NaiveDateTime, seconds: i32) -> NaiveDateTime {
    local.checked_add_signed(TimeDelta::seconds(seconds.into())).unwrap_or(local)
}

/// `+0130`, with `separator` between hours and minutes.
fn offset_text(offset_s: i32, separator: &str, with_seconds: bool) -> String {
    let sign = if offset_s < 0 { '-' } else { '+' };
    let s = offset_s.unsigned_abs();
    let mut out = format!("{sign}{:02}{separator}{:02}", s / 3600, s / 60 % 60);
    if with_seconds {
        out.push_str(&format!("{separator}{:02}", s % 60));
    }
    out
}

/// A day of the calendar, if there is one.
fn date(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_by_go_layouts() {
        let time = Time::unix_ns(1_717_372_835_000_849_739);
        assert_eq!(time.to_string(), "2024-06-03 00:00:35.000849739 +0000 UTC");
        for (layout, text) in [
            ("2006-01-02", "2024-06-03"),
            ("Jan _2 3:04PM", "Jun  3 12:00AM"),
            ("Monday, January 2 06 Mon", "Monday, June 3 24 Mon"),
            ("15:04:05.000 .000000", "00:00:35.000 .000849"),
            ("002 __2 05,999", "155 155 35"),
            ("Z07:00 -07:00 Z0700 MST pm", "Z +00:00 Z UTC am"),
            ("Januar 22 ", "Januar 33 "),
            ("2006-01-02T15:04:05Z07:00", "2024-06-03T00:00:35Z"),
        ] {
            assert_eq!(time.format(layout), text, "{layout}");
        }
        let paris = time.in_zone(Zone::named("Europe/Paris"));
        assert_eq!(paris.format("15:04 -07:00 MST -0700"), "02:00 +02:00 CEST +0200");
    }

    #[test]
    fn times_are_read_by_go_layouts() {
        for (layout, text, s) in [
            ("2006-01-02", "2021-11-02", 1_635_811_200),
            ("2006-01-02T15:04:05.999999999Z07:00", "2021-11-02T01:00:00.5+01:00", 1_635_811_200),
            ("Jan 2 2006 3:04PM", "Nov 2 2021 12:00AM", 1_635_811_200),
            ("02/Jan/2006:15:04:05 -0700", "02/Nov/2021:00:00:00 +0000", 1_635_811_200),
            ("Mon Jan _2 15:04:05 2006", "Tue Nov  2 00:00:00 2021", 1_635_811_200),
            ("2006-01-02 15:04:05 MST", "2021-11-02 00:00:00 UTC", 1_635_811_200),
            ("2006-01-02", "2021-13-02", ZERO_S),
            ("2006-01-02", "nonsense", ZERO_S),
            ("2006-01-02", "2021-11-02 more", ZERO_S),
        ] {
            assert_eq!(Time::parse(layout, text, &Zone::Utc).unix_s(), s, "{layout} {text}");
        }
        let zone = Zone::named("Europe/Paris");
        assert_eq!(Time::parse("2006-01-02", "2021-07-02", &zone).unix_s(), 1_625_176_800);
    }
}
