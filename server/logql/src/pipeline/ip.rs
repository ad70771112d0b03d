//! `ip("10.0.0.0/8")`: is an address of this range in a text?

use std::net::{IpAddr, Ipv6Addr};

use crate::error::ParseError;

/// An address, `from-to`, or a prefix.
#[derive(Debug, Clone)]
pub(super) struct IpMatcher {
    from: u128,
    to: u128,
    is_v6: bool,
}

/// The longest text an address can have.
const ADDRESS_BYTES_MAX: usize = 45;

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

    /// Whether one of the addresses in `text` is in the range.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| self.starts(c)) {
            rest = rest.get(start..).unwrap_or_default();
            let end = rest.find(|c: char| !self.may_hold(c)).unwrap_or(rest.len());
            let candidate = rest.get(..end).unwrap_or_default();
            if self.matches_candidate(candidate) {
                return true;
            }
            rest = rest.get(end.max(1)..).unwrap_or_default();
        }
        false
    }

    /// An address may be followed by a port or a full stop.
    fn matches_candidate(&self, candidate: &str) -> bool {
        let bounded = candidate.get(..candidate.len().min(ADDRESS_BYTES_MAX)).unwrap_or(candidate);
        let trimmed = bounded.trim_end_matches(['.', ':']);
        [bounded, trimmed].into_iter().any(|it| it.parse().is_ok_and(|it| self.contains(it)))
    }

    fn starts(&self, c: char) -> bool {
        if self.is_v6 { c.is_ascii_hexdigit() || c == ':' } else { c.is_ascii_digit() }
    }

    fn may_hold(&self, c: char) -> bool {
        if self.is_v6 {
            c.is_ascii_hexdigit() || c == ':' || c == '.'
        } else {
            c.is_ascii_digit() || c == '.'
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(Ipv6Addr::from(v6)),
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
