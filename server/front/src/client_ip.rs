//! Whose request it is: the peer's, or that of whom a trusted proxy before us names.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::Networks;

/// A comma-separated list of addresses; each proxy appends whom it heard from.
pub(crate) const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: the rightmost in `X-Forwarded-For` that is no trusted proxy's.
///
/// Only what trusted proxies wrote is read, so that nobody can choose the address that limits and
/// logs know them by. Where an entry is no address, the proxy that passed it on counts.
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    let values = headers.get_all(X_FORWARDED_FOR).iter();
    let mut lists: Vec<&str> = values.map(|value| value.to_str().unwrap_or("?")).collect();
    lists.reverse();
    for entry in lists.iter().flat_map(|list| list.rsplit(',')) {
        let Some(ip) = address(entry.trim()) else { return client };
        client = ip.to_canonical();
        if !trusted.contains(client) {
            return client;
        }
    }
    client
}

/// Some proxies write the port, too.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let trusted = Networks::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        let found = client_ip(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("203.0.113.9", &["10.0.0.1"], "203.0.113.9");
        check("::ffff:203.0.113.9", &["192.0.2.1"], "203.0.113.9");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["192.0.2.1"], "192.0.2.1");
        check("10.0.0.1", &["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1");
        check("10.0.0.1", &["6.6.6.6", "192.0.2.1", "10.0.0.2,fd00::1"], "192.0.2.1");
        check("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("::ffff:10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1");
        check("10.0.0.1", &["192.0.2.1:5000"], "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_ends_the_way_back() {
        check("10.0.0.1", &["192.0.2.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2");
        check("10.0.0.1", &[""], "10.0.0.1");
    }
}
