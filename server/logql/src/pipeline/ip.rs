//! `ip("10.0.0.0/8")`: is an address of this range in a text?

use std::net::IpAddr;

use crate::error::ParseError;

/// An address, `from-to`, or a prefix.
#[derive(Debug, Clone)]
pub(super) struct IpMatcher {
    from: u128,
    to: u128,
    is_v6: bool,
}

impl IpMatcher {
    pub(super) fn parse(pattern: &str) -> Result<Self, ParseError> {
        Self::read(pattern)
            .ok_or_else(|| ParseError::new(format!("ip: invalid pattern: {pattern:?}")))
    }

    fn read(pattern: &str) -> Option<Self> {
        if let Some((from, to)) = pattern.split_once('-') {
            let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
            let is_v6 = from.is_ipv6();
            let matcher = Self { from: number(from), to: number(to), is_v6 };
            return (is_v6 == to.is_ipv6() && matcher.from <= matcher.to).then_some(matcher);
        }
        if let Some((address, bits)) = pattern.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits: u32 = bits.parse().ok()?;
            let width = if address.is_ipv6() { 128 } else { 32 };
            let host = if bits <= width { width - bits } else { return None };
            let mask = if host == 128 { u128::MAX } else { (1u128 << host) - 1 };
            let from = number(address) & !mask;
            return Some(Self { from, to: from | mask, is_v6: address.is_ipv6() });
        }
        let address: IpAddr = pattern.parse().ok()?;
        Some(Self { from: number(address), to: number(address), is_v6: address.is_ipv6() })
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6 && (self.from..=self.to).contains(&number(address))
    }

    /// Whether one of the addresses in `text` is in the range. Addresses are found as Loki finds
    /// them: by how their first bytes look, so that an IPv6 address of less than five bytes at the
    /// end of a text is not seen.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let n_candidate = if looks_like_v4(rest) {
                span(rest, |it| it.is_ascii_digit() || it == b'.')
            } else if looks_like_v6(rest) {
                span(rest, |it| it.is_ascii_hexdigit() || it == b':' || it == b'.')
            } else {
                at += 1;
                continue;
            };
            let candidate = text.get(at..at + n_candidate).unwrap_or_default();
            if candidate.parse().is_ok_and(|it| self.contains(it)) {
                return true;
            }
            at += n_candidate + 1;
        }
        false
    }
}

fn span(bytes: &[u8], keep: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|it| !keep(*it)).unwrap_or(bytes.len())
}

/// A digit, then a dot within three bytes.
fn looks_like_v4(bytes: &[u8]) -> bool {
    matches!(bytes, [first, a, b, c, ..]
        if first.is_ascii_digit() && [a, b, c].into_iter().any(|it| *it == b'.'))
}

/// `::x`, or a colon behind one to four hexadecimal digits.
fn looks_like_v6(bytes: &[u8]) -> bool {
    let Some(head) = bytes.get(..5) else { return false };
    let n_hex = span(head, |it| it.is_ascii_hexdigit());
    match head {
        [b':', b':', third, ..] => third.is_ascii_hexdigit(),
        _ => (1..=4).contains(&n_hex) && head.get(n_hex) == Some(&b':'),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_address_in_a_line() {
        let prefix = IpMatcher::parse("192.168.0.0/16").unwrap();
        assert!(prefix.is_in("from 10.0.0.1 to 192.168.4.5:80 ok"));
        assert!(!prefix.is_in("from 10.0.0.1"));
        let range = IpMatcher::parse("10.0.0.1-10.0.0.9").unwrap();
        assert!(range.is_in("[10.0.0.5]"));
        assert!(!range.is_in("10.0.0.55"));
        let v6 = IpMatcher::parse("2001:db8::/32").unwrap();
        assert!(v6.is_in("peer 2001:db8::1 up"));
        assert!(!v6.is_in("at 12:30:01"));
        assert!(IpMatcher::parse("banana").is_err());
    }
}
