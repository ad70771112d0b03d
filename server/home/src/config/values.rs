//! Values as files write them.

use std::{ops::RangeInclusive, time::Duration};

use super::{Expected, FormatKind, Theme};

/// More often would be an attack, more seldom not a check.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(5);

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    duration(text, &INTERVAL)
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    duration(text, &TIMEOUT)
}

fn duration(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let written = |it: Duration| humantime::format_duration(it).to_string();
    let duration = humantime::parse_duration(text).map_err(|_why| {
        format!("{text:?} is not a duration; write a number and a unit, like \"30s\"")
    })?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (least, most) = (written(*range.start()), written(*range.end()));
    Err(format!("{text:?} is out of range; write {least} to {most}"))
}

/// `200` or `200-299`.
pub(super) fn statuses(texts: &[String]) -> Result<Expected, String> {
    if texts.is_empty() {
        return Ok(Expected::Usual);
    }
    let ranges = texts.iter().map(|text| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |part: &str| part.trim().parse::<u16>().ok();
        match (number(first), number(last)) {
            (Some(first), Some(last)) if 100 <= first && first <= last && last <= 599 => {
                Ok(first..=last)
            }
            _other => Err(format!("{text:?} is no status; write 204 or \"200-299\"")),
        }
    });
    Ok(Expected::Among(ranges.collect::<Result<_, _>>()?))
}

pub(super) fn theme(text: &str) -> Result<Theme, String> {
    match text {
        "system" => Ok(Theme::System),
        "light" => Ok(Theme::Light),
        "dark" => Ok(Theme::Dark),
        other => Err(format!("there is no theme {other:?}; write system, light or dark")),
    }
}

pub(super) fn format(text: &str) -> Result<FormatKind, String> {
    let all = [
        FormatKind::Text,
        FormatKind::Number,
        FormatKind::Bytes,
        FormatKind::BytesPerSecond,
        FormatKind::Percent,
        FormatKind::Duration,
    ];
    all.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
        let names = all.map(FormatKind::as_str).join(", ");
        format!("there is no format {text:?}; write one of {names}")
    })
}
