//! What many read for as long as a request takes, and few change.

#![expect(
    clippy::disallowed_types,
    reason = "requests are decoded side by side: a mutex would put them in a row, and a snapshot \
              would be copied with every new series"
)]

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Neither guard is held over an await, and whoever reads does not write before it is done.
#[derive(Debug, Default)]
pub(crate) struct Shared<T>(RwLock<T>);

/// Many at a time.
pub(crate) type Reading<'s, T> = RwLockReadGuard<'s, T>;

impl<T> Shared<T> {
    pub(crate) fn read(&self) -> Reading<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
