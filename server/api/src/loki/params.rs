//! Times, steps and limits as Loki reads them, with its words for what is wrong.

use http::HeaderMap;
use skep_logql::{Direction, ast::Expr};
use skep_proto::{Matcher, TimestampNs};

use super::answer::LabelsAs;
use crate::{
    error::ApiError,
    params::{Params, go_duration_ms, integer, ms_of_seconds, rfc3339_ns},
};

pub(super) const HOUR_NS: i64 = 3_600_000_000_000;

/// Digits up to which a whole number is seconds, as in Loki: until the year 2286.
const SECONDS_DIGITS_MAX: usize = 10;

/// Steps a metric query may have.
const N_STEPS_MAX: i64 = 11_000;

/// Nanoseconds, seconds (also with decimals) or RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<TimestampNs, String> {
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
        && let Some(ms) = ms_of_seconds(seconds)
    {
        return Ok(TimestampNs(ms.saturating_mul(1_000_000)));
    }
    match text.parse::<i64>() {
        Ok(seconds) if text.len() <= SECONDS_DIGITS_MAX => {
            Ok(TimestampNs(seconds.saturating_mul(1_000_000_000)))
        }
        Ok(ns) => Ok(TimestampNs(ns)),
        Err(_) => rfc3339_ns(text)
            .map(TimestampNs)
            .ok_or_else(|| format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
    }
}

/// Float seconds or `1h30m`, in milliseconds.
fn parse_duration_ms(text: &str) -> Result<i64, ApiError> {
    let ms = match text.parse::<f64>() {
        Ok(seconds) => ms_of_seconds(seconds),
        Err(_) => go_duration_ms(text),
    };
    ms.ok_or_else(|| ApiError::bad_data(format!("cannot parse {text:?} to a valid duration")))
}

/// `start` and `end`; without them the time from `since` (or `default_ns`) ago until now.
pub(super) fn bounds(
    params: &Params,
    now: TimestampNs,
    default_ns: i64,
) -> Result<(TimestampNs, TimestampNs), ApiError> {
    let since_ns = match params.given("since") {
        Some(text) => go_duration_ms(text)
            .ok_or_else(|| {
                ApiError::bad_data(format!(
                    "could not parse 'since' parameter: not a valid duration string: {text:?}"
                ))
            })?
            .saturating_mul(1_000_000),
        None => default_ns,
    };
    let (start, end) = (bound(params, "start")?, bound(params, "end")?);
    let end = end.unwrap_or(now);
    // An end in the future would leave the default start with nothing to look at.
    let start = start.unwrap_or_else(|| TimestampNs(end.min(now).0.saturating_sub(since_ns)));
    Ok((start, end))
}

fn bound(params: &Params, name: &str) -> Result<Option<TimestampNs>, ApiError> {
    let Some(text) = params.given(name) else { return Ok(None) };
    parse_time(text)
        .map(Some)
        .map_err(|fault| ApiError::bad_data(format!("could not parse '{name}' parameter: {fault}")))
}

/// # Errors
/// The end is before the start.
pub(super) fn check_order(start: TimestampNs, end: TimestampNs) -> Result<(), ApiError> {
    if end < start {
        let fault = "end timestamp must not be before or equal to start time";
        return Err(ApiError::bad_data(fault));
    }
    Ok(())
}

/// Lines; 100 as in Loki.
pub(super) fn limit(params: &Params) -> Result<usize, ApiError> {
    positive(params, "limit", 100)
}

/// A number of things.
pub(super) fn positive(params: &Params, name: &str, default: usize) -> Result<usize, ApiError> {
    let Some(text) = params.given(name) else { return Ok(default) };
    let limit = integer(text).map_err(ApiError::bad_data)?;
    usize::try_from(limit)
        .ok()
        .filter(|it| *it > 0)
        .ok_or_else(|| ApiError::bad_data("limit must be a positive value"))
}

pub(super) fn direction(params: &Params) -> Result<Direction, ApiError> {
    let text = params.get("direction");
    match text.to_ascii_lowercase().as_str() {
        "" | "backward" => Ok(Direction::Backward),
        "forward" => Ok(Direction::Forward),
        _ => Err(ApiError::bad_data(format!("invalid direction '{text}'"))),
    }
}

/// The step of a metric query; without one, about 250 steps.
pub(super) fn step_ms(
    params: &Params,
    start: TimestampNs,
    end: TimestampNs,
) -> Result<i64, ApiError> {
    let span_ms = end.0.saturating_sub(start.0) / 1_000_000;
    let step_ms = match params.given("step") {
        Some(text) => parse_duration_ms(text)?,
        None => (span_ms / 250_000).max(1) * 1_000,
    };
    if step_ms <= 0 {
        return Err(ApiError::bad_data(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if span_ms / step_ms > N_STEPS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the \
             value of the step parameter",
        ));
    }
    Ok(step_ms)
}

/// The least time between two lines of an answer; zero for all lines.
pub(super) fn interval_ns(params: &Params) -> Result<i64, ApiError> {
    let Some(text) = params.given("interval") else { return Ok(0) };
    let interval_ms = parse_duration_ms(text)?;
    if interval_ms < 0 {
        return Err(ApiError::bad_data("interval must be >= 0"));
    }
    Ok(interval_ms.saturating_mul(1_000_000))
}

/// How a client asks for the three kinds of labels apart.
const ENCODING_FLAGS: &str = "X-Loki-Response-Encoding-Flags";

pub(super) fn labels_as(headers: &HeaderMap) -> LabelsAs {
    let flags = headers.get(ENCODING_FLAGS).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if flags.split(',').any(|it| it.trim() == "categorize-labels") {
        LabelsAs::Categories
    } else {
        LabelsAs::Merged
    }
}

/// A selector without stages; `{}` and nothing select all.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, ApiError> {
    let inside = text.trim().strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    if text.is_empty() || inside.is_some_and(|it| it.trim().is_empty()) {
        return Ok(Vec::new());
    }
    matchers(text)
}

/// A selector without stages; unlike in listings, nothing is none.
pub(super) fn matchers(text: &str) -> Result<Vec<Matcher>, ApiError> {
    match skep_logql::parse(text)? {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        Expr::Log(_) | Expr::Metric(_) => {
            Err(ApiError::bad_data("only label matchers are supported"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_up_to_ten_digits_are_seconds() {
        assert_eq!(parse_time("4000000000"), Ok(TimestampNs(4_000_000_000_000_000_000)));
        assert_eq!(parse_time("1717372800000000001"), Ok(TimestampNs(1_717_372_800_000_000_001)));
        assert_eq!(parse_time("1717372800.5"), Ok(TimestampNs(1_717_372_800_500_000_000)));
        assert_eq!(parse_time("2024-06-03T00:00:00Z"), Ok(TimestampNs(1_717_372_800_000_000_000)));
        let fault = parse_time("x").unwrap_err();
        assert_eq!(fault, "strconv.ParseInt: parsing \"x\": invalid syntax");
    }

    #[test]
    fn without_a_start_it_is_an_hour_ago() {
        let now = TimestampNs(10 * HOUR_NS);
        let bounds = |pairs| bounds(&Params::from_pairs(pairs), now, HOUR_NS).unwrap();
        assert_eq!(bounds(&[]), (TimestampNs(9 * HOUR_NS), now));
        assert_eq!(bounds(&[("since", "3h")]), (TimestampNs(7 * HOUR_NS), now));
        assert_eq!(bounds(&[("start", "3600")]), (TimestampNs(HOUR_NS), now));
    }

    #[test]
    fn an_empty_selector_selects_all() {
        assert_eq!(selector("{ }"), Ok(Vec::new()));
        assert_eq!(selector("{a=\"b\"}").unwrap().len(), 1);
        assert!(selector("{a=\"b\"} |= `x`").is_err());
        assert!(selector("{").is_err());
    }
}
