//! Times, durations and limits as Prometheus reads them, with its words for what is wrong.

use std::time::Duration;

use skep_proto::{TimeRange, TimestampMs};

use crate::{
    error::ApiError,
    params::{Params, go_duration_ms, integer, ms_of_seconds, rfc3339_ns},
};

/// What Prometheus writes for "as early as can be" and "as late as can be".
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";

/// Float seconds or RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<TimestampMs, String> {
    let seconds = text.parse::<f64>().ok().filter(|it| it.is_finite());
    let ms = match (seconds, text) {
        (Some(seconds), _) => ms_of_seconds(seconds),
        (None, MIN_TIME) => Some(i64::MIN),
        (None, MAX_TIME) => Some(i64::MAX),
        (None, _) => rfc3339_ns(text).map(|ns| ns.div_euclid(1_000_000)),
    };
    ms.map(TimestampMs).ok_or_else(|| format!("cannot parse {text:?} to a valid timestamp"))
}

/// Float seconds or `1h30m`, in milliseconds.
pub(super) fn parse_duration_ms(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return ms_of_seconds(seconds).filter(|it| it.abs() <= i64::MAX / 1_000_000).ok_or_else(
            || format!("cannot parse {text:?} to a valid duration. It overflows int64"),
        );
    }
    go_duration_ms(text).ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))
}

/// A time that may be left out.
pub(super) fn time_or(
    params: &Params,
    name: &str,
    default: TimestampMs,
) -> Result<TimestampMs, ApiError> {
    let Some(text) = params.given(name) else { return Ok(default) };
    parse_time(text).map_err(|fault| {
        ApiError::invalid(name, format_args!("invalid time value for '{name}': {fault}"))
    })
}

/// `start` and `end` of a listing; without them, all there is.
pub(super) fn listing_range(params: &Params) -> Result<TimeRange, ApiError> {
    let range = TimeRange {
        start: time_or(params, "start", TimeRange::ALL.start)?,
        end: time_or(params, "end", TimeRange::ALL.end)?,
    };
    if range.end < range.start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    Ok(range)
}

/// `limit`; `None` where there is none (or it is 0).
pub(super) fn limit(params: &Params) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.given("limit") else { return Ok(None) };
    let limit = integer(text).map_err(|fault| ApiError::invalid("limit", fault))?;
    let limit = usize::try_from(limit)
        .map_err(|_negative| ApiError::invalid("limit", "limit must be non-negative"))?;
    Ok(Some(limit).filter(|it| *it > 0))
}

pub(super) fn timeout(params: &Params) -> Result<Option<Duration>, ApiError> {
    let Some(text) = params.given("timeout") else { return Ok(None) };
    let ms = parse_duration_ms(text).map_err(|fault| ApiError::invalid("timeout", fault))?;
    Ok(Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

/// `lookback_delta` in milliseconds.
pub(super) fn lookback_ms(params: &Params) -> Result<Option<i64>, ApiError> {
    let Some(text) = params.given("lookback_delta") else { return Ok(None) };
    parse_duration_ms(text).map(|it| Some(it).filter(|it| *it > 0)).map_err(|fault| {
        ApiError::bad_data(format!("error parsing lookback delta duration: {fault}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc3339() {
        assert_eq!(parse_time("1717378500.1234"), Ok(TimestampMs(1_717_378_500_123)));
        assert_eq!(parse_time("2024-06-03T01:35:00.5Z"), Ok(TimestampMs(1_717_378_500_500)));
        assert_eq!(parse_time(MIN_TIME), Ok(TimestampMs(i64::MIN)));
        for bad in ["", "abc", "1e400", "NaN", "2024-13-01T00:00:00Z"] {
            let expected = format!("cannot parse {bad:?} to a valid timestamp");
            assert_eq!(parse_time(bad), Err(expected));
        }
    }

    #[test]
    fn durations_are_seconds_or_units() {
        assert_eq!(parse_duration_ms("7.5"), Ok(7_500));
        assert_eq!(parse_duration_ms("1m"), Ok(60_000));
        assert_eq!(
            parse_duration_ms("-5m").unwrap_err(),
            "cannot parse \"-5m\" to a valid duration"
        );
        assert!(parse_duration_ms("1e40").unwrap_err().ends_with("It overflows int64"));
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limit = |text| limit(&Params::from_pairs(&[("limit", text)]));
        assert_eq!(limit("0"), Ok(None));
        assert_eq!(limit("7"), Ok(Some(7)));
        assert!(limit("-1").is_err() && limit("x").is_err());
    }
}
