//! Random texts that stand for something once and for a short while, in memory only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::config::TokenHash;

/// At once; beyond it the oldest make room. Each is some hundred bytes.
const TICKETS_MAX: usize = 4096;

/// What the tickets that are out stand for.
#[derive(Debug)]
pub(crate) struct Tickets<T> {
    lifetime: Duration,
    /// By hash: looking one up tells nothing about others by the time it takes.
    out: Mutex<HashMap<TokenHash, (OffsetDateTime, T)>>,
}

impl<T> Tickets<T> {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, out: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn issue(&self, value: T, now: OffsetDateTime) -> String {
        let (text, hash) = TokenHash::generate();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if out.len() >= TICKETS_MAX {
            out.retain(|_hash, (until, _)| now < *until);
        }
        if out.len() >= TICKETS_MAX
            && let Some(oldest) = out.iter().min_by_key(|(_, (until, _))| *until).map(|it| *it.0)
        {
            out.remove(&oldest);
        }
        out.insert(hash, (now + self.lifetime, value));
        text
    }

    /// What the ticket stands for; the second time it stands for nothing.
    pub(crate) fn take(&self, text: &str, now: OffsetDateTime) -> Option<T> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = out.remove(&TokenHash::of(text))?;
        (now < until).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let tickets = Tickets::new(MINUTE);
        let text = tickets.issue(7, NOW);
        assert_eq!(tickets.take("other", NOW), None);
        assert_eq!(tickets.take(&text, NOW), Some(7));
        assert_eq!(tickets.take(&text, NOW), None);
        let late = tickets.issue(8, NOW);
        assert_eq!(tickets.take(&late, NOW + MINUTE), None);
    }

    #[test]
    fn many_that_nobody_takes_do_not_grow_the_table_without_end() {
        let tickets = Tickets::new(MINUTE);
        let first = tickets.issue(0, NOW);
        for i in 1..=TICKETS_MAX {
            tickets.issue(i, NOW + Duration::from_millis(1));
        }
        assert_eq!(tickets.out.lock().unwrap().len(), TICKETS_MAX);
        assert_eq!(tickets.take(&first, NOW), None);
    }
}
