//! Parts of a date in UTC, from seconds since 1970.

use skep_proto::TimestampMs;

const SECONDS_PER_DAY: i64 = 86_400;

/// Year, month and day of month in the proleptic Gregorian calendar.
fn civil(seconds: i64) -> (i64, i64, i64) {
    // Years start in March here, so that the leap day is the last of its year.
    let days = seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(crate) fn year(seconds: i64) -> i64 {
    civil(seconds).0
}

pub(crate) fn month(seconds: i64) -> i64 {
    civil(seconds).1
}

pub(crate) fn day_of_month(seconds: i64) -> i64 {
    civil(seconds).2
}

pub(crate) fn day_of_week(seconds: i64) -> i64 {
    // 1970 began on a Thursday.
    (seconds.div_euclid(SECONDS_PER_DAY) + 4).rem_euclid(7)
}

pub(crate) fn day_of_year(seconds: i64) -> i64 {
    let (year, month, day) = civil(seconds);
    (1..month).map(|it| month_length(year, it)).sum::<i64>() + day
}

pub(crate) fn days_in_month(seconds: i64) -> i64 {
    let (year, month, _) = civil(seconds);
    month_length(year, month)
}

pub(crate) fn hour(seconds: i64) -> i64 {
    seconds.rem_euclid(SECONDS_PER_DAY) / 3600
}

pub(crate) fn minute(seconds: i64) -> i64 {
    seconds.rem_euclid(3600) / 60
}

/// `2024-06-03T01:35:00Z`, fractions of a second only where there are some.
pub(crate) fn format_time(at: TimestampMs) -> String {
    let (seconds, millis) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
    let (year, month, day) = civil(seconds);
    let (hour, minute, second) = (hour(seconds), minute(seconds), seconds.rem_euclid(60));
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}").trim_end_matches('0').to_owned()
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_before_1970_and_leap_days_are_right() {
        let leap_day = 1_709_164_800;
        assert_eq!((year(leap_day), month(leap_day), day_of_month(leap_day)), (2024, 2, 29));
        assert_eq!((day_of_year(leap_day), days_in_month(leap_day)), (60, 29));
        assert_eq!(
            (year(-1), month(-1), day_of_month(-1), hour(-1), minute(-1)),
            (1969, 12, 31, 23, 59)
        );
        assert_eq!((day_of_week(0), day_of_week(-1)), (4, 3));
    }
}
