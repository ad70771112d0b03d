//! Queries at work: who asks what is being answered already waits for that answer.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard},
};

use futures::future::{BoxFuture, FutureExt as _, Shared, WeakShared};

/// Forgotten flights are looked for once there are so many.
const N_FLIGHTS_LOOK: usize = 64;

type Flight<T> = BoxFuture<'static, T>;

/// Futures by what they compute. One is dropped, and so canceled, with the last who waits for it.
pub(crate) struct Flights<K, T: Clone>(Mutex<HashMap<K, WeakShared<Flight<T>>>>);

impl<K: Eq + Hash, T: Clone + Send + Sync + 'static> Flights<K, T> {
    /// The future that is at work on `key`, or else `start`'s.
    pub(crate) fn join(
        &self,
        key: K,
        start: impl FnOnce() -> Flight<T>,
    ) -> Shared<BoxFuture<'static, T>> {
        let mut flights = self.held();
        if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade) {
            return flight;
        }
        if flights.len() >= N_FLIGHTS_LOOK {
            flights.retain(|_, it| it.upgrade().is_some());
        }
        let flight = start().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, weak);
        }
        flight
    }

    fn held(&self) -> MutexGuard<'_, HashMap<K, WeakShared<Flight<T>>>> {
        self.0.lock().expect("nothing panics while it holds the flights")
    }
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, T: Clone> fmt::Debug for Flights<K, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Flights").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test]
    async fn a_flight_is_shared_while_it_lasts_and_ends_with_its_last_passenger() {
        let flights: Flights<usize, usize> = Flights::default();
        let n_dropped = Arc::new(AtomicUsize::new(0));
        let n_started = AtomicUsize::new(0);
        let start = || {
            n_started.fetch_add(1, Ordering::Relaxed);
            let guard = Guard(Arc::clone(&n_dropped));
            async move {
                let _guard = guard;
                std::future::pending().await
            }
            .boxed()
        };
        let (mut one, two) = (flights.join(1, start), flights.join(1, start));
        assert_eq!(n_started.load(Ordering::Relaxed), 1);
        assert!(futures::poll!(&mut one).is_pending());
        drop(one);
        assert_eq!(n_dropped.load(Ordering::Relaxed), 0);
        drop(two);
        assert_eq!(n_dropped.load(Ordering::Relaxed), 1);
        assert_eq!(flights.join(1, || async { 5 }.boxed()).await, 5);
        (0..10 * N_FLIGHTS_LOOK).for_each(|key| drop(flights.join(key, start)));
        assert!(flights.held().len() <= N_FLIGHTS_LOOK);
    }

    struct Guard(Arc<AtomicUsize>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
