//! Footers and decoded blocks that queries asked for lately, bounded in bytes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use super::{
    footer::Footer,
    packed::{Block, Reach},
};

/// Which part, by [`crate::part::Part::serial`], and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    serial: u64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Footer,
    /// A block, or some of its series.
    Series(usize),
    /// All series of a block, since some time.
    Recent(usize),
}

impl What {
    fn of(at: usize, reach: &Reach) -> Self {
        if reach.ids.is_none() && reach.from > i64::MIN {
            Self::Recent(at)
        } else {
            Self::Series(at)
        }
    }
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
        match self.inner().get(Key { serial, what: What::Footer })? {
            Item::Footer(footer) => Some(footer),
            Item::Block(_) => None,
        }
    }

    /// A block, or what holds of it all samples of these ids (`None`: of any) since `from`.
    pub(super) fn block(
        &self,
        serial: u64,
        at: usize,
        ids: Option<&[i64]>,
        from: i64,
    ) -> Option<Arc<Block>> {
        let mut inner = self.inner();
        [What::Series(at), What::Recent(at)].into_iter().find_map(|what| {
            match inner.get(Key { serial, what })? {
                Item::Block(block) => Some(block).filter(|it| it.reach().covers(ids, from)),
                Item::Footer(_) => None,
            }
        })
    }

    /// What is kept of a block where this would be.
    pub(super) fn reach(&self, serial: u64, at: usize, wanted: &Reach) -> Option<Reach> {
        match &self.inner().items.get(&Key { serial, what: What::of(at, wanted) })?.item {
            Item::Block(block) => Some(block.reach().clone()),
            Item::Footer(_) => None,
        }
    }

    pub(super) fn put_footer(&self, serial: u64, footer: &Arc<Footer>) {
        let n_bytes = footer.size_bytes();
        self.put(Key { serial, what: What::Footer }, Item::Footer(Arc::clone(footer)), n_bytes);
    }

    pub(super) fn put_block(&self, serial: u64, at: usize, block: &Arc<Block>) {
        let key = Key { serial, what: What::of(at, block.reach()) };
        self.put(key, Item::Block(Arc::clone(block)), block.size_bytes());
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

    fn block(n_rows: i32) -> Arc<Block> {
        let ts: Vec<i64> = (0..n_rows).map(i64::from).collect();
        let values: Vec<f64> = (0..n_rows).map(|it| f64::from(it) + 0.5).collect();
        Arc::new(Block::of_doubles(&[(7, &ts, &values)]))
    }

    fn is_there(cache: &Cache, serial: u64, at: usize) -> bool {
        cache.block(serial, at, None, i64::MIN).is_some()
    }

    #[test]
    fn what_was_not_asked_for_longest_goes_first_and_the_bound_holds() {
        let bytes_max = 3 * block(100).size_bytes();
        let cache = Cache::new(bytes_max);
        for at in 0..3 {
            cache.put_block(1, at, &block(100));
        }
        assert!(is_there(&cache, 1, 0));
        cache.put_block(1, 3, &block(100));
        let there: Vec<_> = (0..4).map(|at| is_there(&cache, 1, at)).collect();
        assert_eq!(there, [true, false, true, true]);
        cache.put_block(2, 0, &block(1000));
        assert!(!is_there(&cache, 2, 0), "larger than all of the cache");
        let inner = cache.inner();
        assert!(inner.n_bytes <= bytes_max);
        assert_eq!(inner.items.len(), inner.uses.len());
    }

    #[test]
    fn some_series_and_the_newest_of_all_series_are_kept_side_by_side() {
        let cache = Cache::new(1 << 20);
        let put = |ids: Option<Vec<i64>>, from| {
            cache.put_block(1, 0, &Arc::new(block(100).only(Reach { ids, from })));
        };
        put(Some(vec![7]), i64::MIN);
        put(None, 90);
        let ids_from = |ids, from| cache.block(1, 0, ids, from).map(|it| it.ts(0).len());
        assert_eq!(ids_from(Some(&[7]), i64::MIN), Some(100));
        assert_eq!(ids_from(Some(&[8]), 95), Some(10));
        assert_eq!(ids_from(None, 90), Some(10));
        assert_eq!(ids_from(None, 89), None);
        assert_eq!(ids_from(Some(&[8]), i64::MIN), None);
    }
}
