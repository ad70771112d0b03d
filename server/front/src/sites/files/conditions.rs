//! What a request's conditions and range leave of a file (RFC 9110, 13.2.2 and 14.2); pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// What tells one version of a file from another.
#[derive(Debug)]
pub(super) struct Version {
    /// With its quotes.
    pub etag: String,
    pub modified: Option<SystemTime>,
    pub len: u64,
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// `first` to `last`, both included.
    Range {
        first: u64,
        last: u64,
    },
    NotModified,
    PreconditionFailed,
    NotSatisfiable,
}

pub(super) fn part(headers: &HeaderMap, version: &Version) -> Part {
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
    let modified = version.modified.map(whole_seconds);
    let date = |name| text(name).and_then(|it| httpdate::parse_http_date(it).ok());
    if let Some(tags) = text(IF_MATCH) {
        // Strong: a weak one is never the same.
        if tags.trim() != "*" && !tags.split(',').any(|it| it.trim() == version.etag) {
            return Part::PreconditionFailed;
        }
    } else if let (Some(date), Some(modified)) = (date(IF_UNMODIFIED_SINCE), modified)
        && modified > date
    {
        return Part::PreconditionFailed;
    }
    if let Some(tags) = text(IF_NONE_MATCH) {
        let bare = |it: &str| it.trim().trim_start_matches("W/").to_owned();
        if tags.trim() == "*" || tags.split(',').any(|it| bare(it) == version.etag) {
            return Part::NotModified;
        }
    } else if let (Some(date), Some(modified)) = (date(IF_MODIFIED_SINCE), modified)
        && modified <= date
    {
        return Part::NotModified;
    }
    let is_same = match text(IF_RANGE) {
        None => true,
        Some(tag) if tag.contains('"') => tag.trim() == version.etag,
        Some(date) => httpdate::parse_http_date(date).is_ok_and(|it| Some(it) == modified),
    };
    match text(RANGE) {
        Some(ranges) if is_same => range(ranges, version.len),
        _whole => Part::Whole,
    }
}

/// One range; several, or what is none, may be answered with the whole file.
fn range(text: &str, len: u64) -> Part {
    let Some(spec) = text.trim().strip_prefix("bytes=") else { return Part::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    let number = |it: &str| it.trim().parse::<u64>().ok();
    let part = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            None => return Part::Whole,
            Some(0) => None,
            Some(n) => len.checked_sub(1).map(|end| (len.saturating_sub(n), end)),
        },
        (first, "") => match number(first) {
            None => return Part::Whole,
            Some(first) => len.checked_sub(1).map(|end| (first, end)),
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                len.checked_sub(1).map(|end| (first, last.min(end)))
            }
            _none => return Part::Whole,
        },
    };
    match part {
        Some((first, last)) if first <= last => Part::Range { first, last },
        _beyond => Part::NotSatisfiable,
    }
}

/// HTTP's dates have no more.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], expected: Part) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let modified = httpdate::parse_http_date("Sun, 22 Nov 2026 12:00:00 GMT").unwrap();
        let modified = Some(modified + Duration::from_millis(500));
        let version = Version { etag: "\"v1\"".to_owned(), modified, len: 100 };
        assert_eq!(part(&map, &version), expected, "{headers:?}");
    }

    #[test]
    fn ranges_are_cut_to_the_file_and_refused_beyond_it() {
        let range = |first, last| Part::Range { first, last };
        check(&[], Part::Whole);
        check(&[("range", "bytes=0-9")], range(0, 9));
        check(&[("range", "bytes=90-")], range(90, 99));
        check(&[("range", "bytes=90-500")], range(90, 99));
        check(&[("range", "bytes=-10")], range(90, 99));
        check(&[("range", "bytes=-500")], range(0, 99));
        check(&[("range", "bytes=100-")], Part::NotSatisfiable);
        check(&[("range", "bytes=-0")], Part::NotSatisfiable);
        for whole in ["bytes=9-0", "bytes=0-1,5-6", "bytes=x-y", "lines=0-1", "bytes=", "bytes=-"] {
            check(&[("range", whole)], Part::Whole);
        }
        check(&[("range", "bytes=18446744073709551615-")], Part::NotSatisfiable);
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        check(&[("if-none-match", "\"v1\"")], Part::NotModified);
        check(&[("if-none-match", "\"v0\", W/\"v1\"")], Part::NotModified);
        check(&[("if-none-match", "*")], Part::NotModified);
        check(&[("if-none-match", "\"v2\"")], Part::Whole);
        check(&[("if-modified-since", "Sun, 22 Nov 2026 12:00:00 GMT")], Part::NotModified);
        check(&[("if-modified-since", "Sun, 22 Nov 2026 11:59:59 GMT")], Part::Whole);
        // The tag outweighs the date.
        check(
            &[("if-none-match", "\"v2\""), ("if-modified-since", "Sun, 22 Nov 2026 12:00:00 GMT")],
            Part::Whole,
        );
    }

    #[test]
    fn another_version_than_the_client_means_is_not_sent() {
        check(&[("if-match", "\"v2\"")], Part::PreconditionFailed);
        check(&[("if-match", "W/\"v1\"")], Part::PreconditionFailed);
        check(&[("if-match", "\"v2\", \"v1\"")], Part::Whole);
        check(
            &[("if-unmodified-since", "Sun, 22 Nov 2026 11:59:59 GMT")],
            Part::PreconditionFailed,
        );
        check(&[("range", "bytes=0-9"), ("if-range", "\"v2\"")], Part::Whole);
        check(&[("range", "bytes=0-9"), ("if-range", "\"v1\"")], Part::Range { first: 0, last: 9 });
        check(
            &[("range", "bytes=0-9"), ("if-range", "Sun, 22 Nov 2026 12:00:00 GMT")],
            Part::Range { first: 0, last: 9 },
        );
    }
}
