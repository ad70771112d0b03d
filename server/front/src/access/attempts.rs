//! How many wrong passwords a peer may send: a bucket of attempts for each, refilled slowly.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

/// Peers remembered at once; beyond it, those that are nearest to forgiven are forgotten.
const PEERS_MAX: usize = 10_000;

/// The buckets of all peers (or whatever else is counted for) that tried lately.
#[derive(Debug)]
pub(crate) struct Attempts<K = IpAddr> {
    limit: Mutex<Limit>,
    /// When a peer's bucket is full again; its debt is the distance to it. Guarded by the mutex,
    /// never more than `PEERS_MAX`.
    full_at: Mutex<HashMap<K, OffsetDateTime>>,
}

/// How many there are at once, and how soon there is another.
#[derive(Debug, Clone, Copy)]
struct Limit {
    burst: u32,
    refill: Duration,
}

impl<K: Eq + Hash + Bucket> Attempts<K> {
    pub(crate) fn new(burst: u32, refill: Duration) -> Self {
        let limit = Mutex::new(Limit { burst: burst.max(1), refill });
        Self { limit, full_at: Mutex::new(HashMap::new()) }
    }

    /// Counts from the next attempt on; who has debts keeps them.
    pub(crate) fn set_limit(&self, burst: u32, refill: Duration) {
        let limit = Limit { burst: burst.max(1), refill };
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
    }

    fn limit(&self) -> Limit {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one attempt, or says how long to wait for the next.
    pub(crate) fn take(&self, peer: K, now: OffsetDateTime) -> Result<(), Duration> {
        let Limit { burst, refill } = self.limit();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= PEERS_MAX {
            forget(&mut full_at, now);
        }
        let slot = full_at.entry(peer.bucket()).or_insert(now);
        let after = (*slot).max(now) + refill;
        let limit = now + refill * burst;
        if after > limit {
            return Err((after - limit).try_into().unwrap_or(refill));
        }
        *slot = after;
        Ok(())
    }

    /// Gives an attempt back: the password was right.
    pub(crate) fn give_back(&self, peer: K) {
        let refill = self.limit().refill;
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = full_at.get_mut(&peer.bucket()) {
            *slot -= refill;
        }
    }
}

fn forget<K: Eq + Hash>(full_at: &mut HashMap<K, OffsetDateTime>, now: OffsetDateTime) {
    full_at.retain(|_peer, full| *full > now);
    // Down to half, or one more peer would soon mean walking the whole table again.
    if full_at.len() > PEERS_MAX / 2 {
        let mut debts: Vec<_> = full_at.values().copied().collect();
        let middle = debts.len() / 2;
        let (_below, median, _above) = debts.select_nth_unstable(middle);
        let median = *median;
        full_at.retain(|_peer, full| *full > median);
    }
}

/// What is counted together.
pub(crate) trait Bucket {
    #[must_use]
    fn bucket(self) -> Self;
}

impl Bucket for IpAddr {
    /// One IPv6 customer has a whole /64, so that is what counts as a peer.
    fn bucket(self) -> Self {
        match self.to_canonical() {
            Self::V6(ip) => Self::V6(Ipv6Addr::from_bits(ip.to_bits() & !0 << 64)),
            v4 @ Self::V4(_) => v4,
        }
    }
}

impl Bucket for Arc<str> {
    fn bucket(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const REFILL: Duration = Duration::from_secs(10);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_allowed_then_one_for_each_refill() {
        let attempts = Attempts::new(3, REFILL);
        let peer = ip("10.0.0.1");
        for _ in 0..3 {
            attempts.take(peer, NOW).unwrap();
        }
        assert_eq!(attempts.take(peer, NOW), Err(REFILL));
        attempts.take(ip("10.0.0.2"), NOW).unwrap();
        attempts.take(peer, NOW + REFILL).unwrap();
        assert!(attempts.take(peer, NOW + REFILL).is_err());
    }

    #[test]
    fn a_right_password_costs_nothing() {
        let attempts = Attempts::new(2, REFILL);
        for _ in 0..100 {
            attempts.take(ip("10.0.0.1"), NOW).unwrap();
            attempts.give_back(ip("10.0.0.1"));
        }
    }

    #[test]
    fn another_limit_counts_at_once_and_forgives_no_debt() {
        let attempts = Attempts::new(3, REFILL);
        for _ in 0..2 {
            attempts.take(ip("10.0.0.1"), NOW).unwrap();
        }
        attempts.set_limit(2, REFILL);
        assert!(attempts.take(ip("10.0.0.1"), NOW).is_err());
        attempts.set_limit(3, REFILL);
        attempts.take(ip("10.0.0.1"), NOW).unwrap();
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let attempts = Attempts::new(1, REFILL);
        attempts.take(ip("2001:db8::1"), NOW).unwrap();
        assert!(attempts.take(ip("2001:db8::2"), NOW).is_err());
        attempts.take(ip("2001:db8:0:1::1"), NOW).unwrap();
    }

    #[test]
    fn many_peers_do_not_grow_the_table_without_end() {
        let attempts = Attempts::new(5, REFILL);
        for i in 0..u32::try_from(PEERS_MAX * 2).unwrap() {
            let at = NOW + Duration::from_millis(u64::from(i));
            attempts.take(IpAddr::V4(i.into()), at).unwrap();
        }
        assert!(attempts.full_at.lock().unwrap().len() <= PEERS_MAX);
    }
}
