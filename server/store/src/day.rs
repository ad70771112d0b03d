//! Days and time stamps as folder names and statistics spell them.

use std::collections::BTreeSet;

use time::{Date, OffsetDateTime};

/// The Julian day of 1970-01-01.
const EPOCH_JULIAN_DAY: i32 = 2_440_588;
pub(crate) const MS_PER_DAY: i64 = 86_400_000;
pub(crate) const MS_PER_HOUR: i64 = 3_600_000;
const HOURS_PER_DAY: i32 = 24;
pub(crate) const NS_PER_MS: i64 = 1_000_000;

/// The day of a time stamp, in days since the epoch; saturates far beyond any calendar.
pub(crate) fn day_of_ms(ts: i64) -> i32 {
    let day = ts.div_euclid(MS_PER_DAY);
    i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX })
}

/// The hour of a time stamp, in hours since the epoch; saturates as [`day_of_ms`] does.
pub(crate) fn hour_of_ms(ts: i64) -> i32 {
    let hour = ts.div_euclid(MS_PER_HOUR);
    i32::try_from(hour).unwrap_or(if hour < 0 { i32::MIN } else { i32::MAX })
}

/// The first and the last hour of a day.
pub(crate) fn hours_of_day(day: i32) -> (i32, i32) {
    let first = day.saturating_mul(HOURS_PER_DAY);
    (first, first.saturating_add(HOURS_PER_DAY - 1))
}

/// The first millisecond of a day.
pub(crate) fn start_ms(day: i32) -> i64 {
    i64::from(day).saturating_mul(MS_PER_DAY)
}

/// `2026-11-22`. Days that a store takes are years 1677 to 2262, which the calendar has.
pub(crate) fn format_day(day: i32) -> String {
    let date = Date::from_julian_day(day.saturating_add(EPOCH_JULIAN_DAY));
    date.map_or_else(|_| day.to_string(), |it| it.to_string())
}

/// `2026-11-22T10:00:00.000Z`.
pub(crate) fn format_ms(ts: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ts) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second, milli) = at.time().as_hms_milli();
    format!("{}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", at.date())
}

/// The days of time stamps in milliseconds, in order.
pub(crate) fn days_of_ms(ts: impl Iterator<Item = i64>) -> BTreeSet<i32> {
    let mut days = BTreeSet::new();
    let mut last = None;
    for day in ts.map(day_of_ms) {
        // Neighbours are nearly always of one day.
        if last.replace(day) != Some(day) {
            days.insert(day);
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_of_their_day() {
        for ts in [0, -1, 1, 1_795_341_600_123, MS_PER_DAY - 1, -MS_PER_DAY] {
            let (first, last) = hours_of_day(day_of_ms(ts));
            assert!((first..=last).contains(&hour_of_ms(ts)), "{ts}");
            assert_eq!(i64::from(first) * MS_PER_HOUR, start_ms(day_of_ms(ts)));
        }
        assert_eq!((hour_of_ms(i64::MIN), hour_of_ms(i64::MAX)), (i32::MIN, i32::MAX));
    }

    #[test]
    fn days_and_times_are_written_as_dates() {
        assert_eq!(format_day(0), "1970-01-01");
        assert_eq!(format_day(day_of_ms(-1)), "1969-12-31");
        assert_eq!(format_day(day_of_ms(1_795_341_600_123)), "2026-11-22");
        assert_eq!(format_ms(1_795_341_600_123), "2026-11-22T10:00:00.123Z");
        assert_eq!(format_ms(start_ms(-1)), "1969-12-31T00:00:00.000Z");
    }
}
