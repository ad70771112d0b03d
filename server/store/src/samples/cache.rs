//! Footers and decoded blocks that queries asked for lately, bounded in bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{block::Block, footer::Footer};

/// Which part, by [`crate::part::Part::serial`], and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    serial: u64,
    /// `None` for the footer.
    block: Option<usize>,
}

#[derive(Debug, Clone)]
enum Item {
    Footer(Arc<Footer>),
    Block(Arc<Block>),
}

/// Shared by all queries. What it drops is read again.
#[derive(Debug)]
pub(crate) struct Cache {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    items: HashMap<Key, Cached>,
    /// When each was last asked for, oldest first.
    uses: BTreeMap<u64, Key>,
    next_use: u64,
    n_bytes: usize,
}

#[derive(Debug)]
struct Cached {
    item: Item,
    n_bytes: usize,
    used: u64,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::default() }
    }

    /// A scan that reads more than this would only push out what others need.
    pub(super) fn scan_bytes_max(&self) -> usize {
        self.bytes_max / 2
    }

    pub(super) fn footer(&self, serial: u64) -> Option<Arc<Footer>> {
        match self.inner().get(Key { serial, block: None })? {
            Item::Footer(footer) => Some(footer),
            Item::Block(_) => None,
        }
    }

    pub(super) fn block(&self, serial: u64, block: usize) -> Option<Arc<Block>> {
        match self.inner().get(Key { serial, block: Some(block) })? {
            Item::Block(block) => Some(block),
            Item::Footer(_) => None,
        }
    }

    pub(super) fn put_footer(&self, serial: u64, footer: &Arc<Footer>) {
        let n_bytes = footer.size_bytes();
        self.put(Key { serial, block: None }, Item::Footer(Arc::clone(footer)), n_bytes);
    }

    pub(super) fn put_block(&self, serial: u64, at: usize, block: &Arc<Block>) {
        let n_bytes = block.size_bytes();
        self.put(Key { serial, block: Some(at) }, Item::Block(Arc::clone(block)), n_bytes);
    }

    fn put(&self, key: Key, item: Item, n_bytes: usize) {
        if n_bytes > self.bytes_max {
            return;
        }
        let mut inner = self.inner();
        inner.remove(key);
        while inner.n_bytes + n_bytes > self.bytes_max
            && let Some((_, &oldest)) = inner.uses.first_key_value()
        {
            inner.remove(oldest);
        }
        let used = inner.next_use;
        inner.next_use += 1;
        inner.n_bytes += n_bytes;
        inner.uses.insert(used, key);
        inner.items.insert(key, Cached { item, n_bytes, used });
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the cache")
    }
}

impl Inner {
    fn get(&mut self, key: Key) -> Option<Item> {
        let cached = self.items.get_mut(&key)?;
        self.uses.remove(&cached.used);
        cached.used = self.next_use;
        self.uses.insert(self.next_use, key);
        self.next_use += 1;
        Some(cached.item.clone())
    }

    fn remove(&mut self, key: Key) {
        if let Some(cached) = self.items.remove(&key) {
            self.uses.remove(&cached.used);
            self.n_bytes -= cached.n_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::block::Runs;

    fn block(n_rows: usize) -> Arc<Block> {
        Arc::new(Block {
            runs: Runs::default(),
            ts: vec![0; n_rows].into(),
            values: vec![0.0; n_rows],
            covers: None,
        })
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first_and_the_bound_holds() {
        let cache = Cache::new(3 * 16 * 100);
        for at in 0..3 {
            cache.put_block(1, at, &block(100));
        }
        assert!(cache.block(1, 0).is_some());
        cache.put_block(1, 3, &block(100));
        let there: Vec<_> = (0..4).map(|at| cache.block(1, at).is_some()).collect();
        assert_eq!(there, [true, false, true, true]);
        cache.put_block(2, 0, &block(1000));
        assert!(cache.block(2, 0).is_none(), "larger than all of the cache");
        let inner = cache.inner();
        assert!(inner.n_bytes <= 3 * 16 * 100);
        assert_eq!(inner.items.len(), inner.uses.len());
    }
}
