//! What the server's answer means for a batch. Pure.

use std::time::Duration;

/// The parts of an HTTP answer that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Seconds, from `Retry-After`.
    pub(crate) retry_after: Option<String>,
    /// Whether it says how many samples were written, as every 2.0 server does.
    pub(crate) speaks_v2: bool,
    /// The beginning of the body.
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Say it again in remote-write 1.0.
    Downgrade,
    /// The same batch will never be taken.
    Reject,
    RereadToken,
    Retry {
        after: Option<Duration>,
    },
}

/// `can_downgrade`: the request was remote-write 2.0 and may be said in 1.0.
pub(crate) fn judge(answer: &Answer, can_downgrade: bool) -> Verdict {
    match answer.status {
        // A server of the 1.0 age may take the bytes of a 2.0 request for an empty one of its own.
        200..=299 if can_downgrade && !answer.speaks_v2 => Verdict::Downgrade,
        200..=299 => Verdict::Delivered,
        415 if can_downgrade => Verdict::Downgrade,
        401 | 403 => Verdict::RereadToken,
        // Wrong address or an odd proxy, not wrong data.
        404 | 405 | 407 | 408 | 415 | 421 | 425 => Verdict::Retry { after: None },
        429 | 503 | 507 => Verdict::Retry { after: retry_after(answer) },
        400..=499 => Verdict::Reject,
        _ => Verdict::Retry { after: None },
    }
}

/// The header's other form, a date, is not worth a parser: backoff does as well.
fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.retry_after.as_deref()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, retry_after: Option<&str>, expected: Verdict) {
        let retry_after = retry_after.map(str::to_owned);
        let answer = Answer { status, retry_after, speaks_v2: true, text: String::new() };
        assert_eq!(judge(&answer, false), expected, "{status}");
    }

    #[test]
    fn only_bad_data_is_rejected() {
        for status in [200, 204] {
            check(status, None, Verdict::Delivered);
        }
        for status in [400, 409, 413, 422] {
            check(status, None, Verdict::Reject);
        }
        for status in [404, 408, 415, 429, 500, 502, 503, 507, 301] {
            check(status, None, Verdict::Retry { after: None });
        }
        check(401, None, Verdict::RereadToken);
    }

    #[test]
    fn retry_after_is_honoured_where_it_is_a_number() {
        let ten = Some(Duration::from_secs(10));
        for status in [429, 503, 507] {
            check(status, Some(" 10 "), Verdict::Retry { after: ten });
            check(status, Some("Sun, 06 Nov 1994 08:49:37 GMT"), Verdict::Retry { after: None });
        }
        check(500, Some("10"), Verdict::Retry { after: None });
    }

    #[test]
    fn a_server_that_does_not_know_version_2_is_noticed() {
        let answer = |status, speaks_v2| Answer {
            status,
            retry_after: None,
            speaks_v2,
            text: String::new(),
        };
        assert_eq!(judge(&answer(415, false), true), Verdict::Downgrade);
        assert_eq!(judge(&answer(204, false), true), Verdict::Downgrade);
        assert_eq!(judge(&answer(204, true), true), Verdict::Delivered);
        assert_eq!(judge(&answer(204, false), false), Verdict::Delivered);
    }
}
