//! How many connections may be open: places that are handed out, and may become more or fewer.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The places of all listeners.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    max: usize,
    /// Places that are taken and will be gone with who has them.
    too_many: usize,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    slots: Arc<Slots>,
}

impl Slots {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let counts = Mutex::new(Counts { max, too_many: 0 });
        Arc::new(Self { free: Arc::new(Semaphore::new(max)), counts })
    }

    /// Waits for a place.
    pub(crate) async fn take(self: &Arc<Self>) -> Result<Slot, AcquireError> {
        let permit = Arc::clone(&self.free).acquire_owned().await?;
        Ok(Slot { permit: Some(permit), slots: Arc::clone(self) })
    }

    /// Nobody loses a place: with fewer, some are not handed out again.
    pub(crate) fn resize(&self, max: usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let more = max.saturating_sub(counts.max);
        let kept = more.min(counts.too_many);
        counts.too_many -= kept;
        self.free.add_permits(more - kept);
        let fewer = counts.max.saturating_sub(max);
        counts.too_many += fewer - self.free.forget_permits(fewer);
        counts.max = max;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.too_many > 0
            && let Some(permit) = self.permit.take()
        {
            counts.too_many -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// As many as are free at this moment.
    fn take_all(slots: &Arc<Slots>) -> Vec<Slot> {
        std::iter::from_fn(|| slots.take().now_or_never()).map(Result::unwrap).collect()
    }

    #[test]
    fn fewer_places_take_none_away_and_more_are_there_at_once() {
        let slots = Slots::new(4);
        let mut taken = take_all(&slots);
        assert_eq!(taken.len(), 4);
        slots.resize(2);
        for _ in 0..2 {
            taken.pop();
            assert!(take_all(&slots).is_empty(), "there were too many");
        }
        taken.pop();
        assert_eq!(take_all(&slots).len(), 1);
        slots.resize(5);
        assert_eq!(take_all(&slots).len(), 4);
    }

    #[test]
    fn places_that_were_to_go_stay_when_there_may_be_more_again() {
        let slots = Slots::new(3);
        let taken = take_all(&slots);
        slots.resize(1);
        slots.resize(4);
        assert_eq!(take_all(&slots).len(), 1);
        drop(taken);
        assert_eq!(take_all(&slots).len(), 4);
    }
}
