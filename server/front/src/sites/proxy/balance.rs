//! Which of several servers gets a request: pure.

use std::net::IpAddr;

use crate::config::Balance;

/// What is known of a server when a request wants one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Health checks say so, or nobody asks.
    pub is_up: bool,
    /// It could not be reached a moment ago.
    pub is_shunned: bool,
    /// This request was there already.
    pub was_tried: bool,
    /// Requests under way.
    pub n_active: usize,
    /// Different for each server, and the same after a restart.
    pub seed: u64,
}

/// The index of the server to ask: one that is up and was not tried, if possible one not shunned.
///
/// `ticket` is another number for each request.
pub(super) fn choose(
    balance: Balance,
    standings: &[Standing],
    ticket: u64,
    client: IpAddr,
) -> Option<usize> {
    let usable = |it: &Standing| it.is_up && !it.was_tried;
    let spares_shunned = standings.iter().any(|it| usable(it) && !it.is_shunned);
    let all = standings.iter().enumerate();
    let fit = all.filter(|(_, it)| usable(it) && !(spares_shunned && it.is_shunned));
    let n = fit.clone().count();
    if n == 0 {
        return None;
    }
    // Fits: n is the length of a slice.
    let turn = |number: u64| usize::try_from(number % n as u64).unwrap_or(0);
    let nth = |place: usize| fit.clone().nth(place);
    let chosen = match balance {
        Balance::First => nth(0),
        Balance::RoundRobin => nth(turn(ticket)),
        Balance::Random => nth(turn(mix(ticket))),
        Balance::IpHash => {
            let client = hash(client);
            fit.clone().max_by_key(|(_, it)| mix(client ^ it.seed))
        }
        Balance::LeastConn => {
            let fewest = fit.clone().map(|(_, it)| it.n_active).min();
            let equal = fit.clone().filter(|(_, it)| Some(it.n_active) == fewest);
            let n_equal = equal.clone().count().max(1);
            equal.clone().nth(usize::try_from(ticket % n_equal as u64).unwrap_or(0))
        }
    };
    chosen.map(|(place, _)| place)
}

/// A number that looks random (splitmix64): good enough to spread requests.
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The same for the same bytes (FNV-1a).
pub(super) fn seed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

fn hash(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits())),
        IpAddr::V6(ip) => {
            // A household has a /64, whose devices change their addresses in it.
            mix(u64::try_from(ip.to_bits() >> 64).unwrap_or(0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn standings(n_active: &[usize]) -> Vec<Standing> {
        let standing = |(i, n): (usize, &usize)| Standing {
            is_up: true,
            is_shunned: false,
            was_tried: false,
            n_active: *n,
            seed: seed(&format!("http://10.0.0.{i}")),
        };
        n_active.iter().enumerate().map(standing).collect()
    }

    fn chosen(balance: Balance, standings: &[Standing], tickets: u64) -> Vec<usize> {
        (0..tickets).filter_map(|it| choose(balance, standings, it, CLIENT)).collect()
    }

    #[test]
    fn least_conn_takes_the_idlest_and_turns_among_equals() {
        assert_eq!(chosen(Balance::LeastConn, &standings(&[3, 1, 2]), 3), [1, 1, 1]);
        assert_eq!(chosen(Balance::LeastConn, &standings(&[1, 2, 1]), 4), [0, 2, 0, 2]);
    }

    #[test]
    fn round_robin_takes_turns_and_first_the_first() {
        assert_eq!(chosen(Balance::RoundRobin, &standings(&[9, 0, 0]), 4), [0, 1, 2, 0]);
        assert_eq!(chosen(Balance::First, &standings(&[9, 0, 0]), 2), [0, 0]);
    }

    #[test]
    fn random_reaches_every_server_about_as_often() {
        let mut counts = [0usize; 4];
        for place in chosen(Balance::Random, &standings(&[0; 4]), 4000) {
            counts[place] += 1;
        }
        assert!(counts.iter().all(|it| (800..1200).contains(it)), "{counts:?}");
    }

    #[test]
    fn a_visitor_stays_with_a_server_and_only_moves_when_that_one_is_gone() {
        let all = standings(&[0; 5]);
        let clients = (0..200u8).map(|it| IpAddr::from([192, 0, 2, it]));
        for client in clients {
            let home = choose(Balance::IpHash, &all, 1, client).unwrap();
            assert_eq!(choose(Balance::IpHash, &all, 2, client), Some(home));
            let mut without = all.clone();
            without[(home + 1) % 5].is_up = false;
            assert_eq!(choose(Balance::IpHash, &without, 3, client), Some(home));
        }
    }

    #[test]
    fn who_is_down_gets_nothing_and_who_is_shunned_only_if_nobody_else_can() {
        let mut two = standings(&[0, 0]);
        two[0].is_up = false;
        assert_eq!(chosen(Balance::First, &two, 1), [1]);
        two[0].is_up = true;
        two[0].is_shunned = true;
        assert_eq!(chosen(Balance::First, &two, 1), [1]);
        two[1].was_tried = true;
        assert_eq!(chosen(Balance::First, &two, 1), [0]);
        two[0].is_up = false;
        assert_eq!(chosen(Balance::LeastConn, &two, 1), Vec::<usize>::new());
    }
}
