//! Giving out ids so that the series of one source are neighbours: what one scrape brings has its
//! time stamps in common, and a dashboard asks for one host.

use std::collections::HashMap;

use skep_proto::Labels;

/// Names the scrape target of a series.
const INSTANCE: &str = "instance";

/// Below these bits an id counts the series of one source.
const SOURCE_SHIFT: u32 = 24;
const PER_ORDINAL_MAX: i64 = 1 << SOURCE_SHIFT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdOrder {
    /// `source ordinal << 24 | n`; a source that runs over gets another ordinal.
    BySource,
    /// One after the other.
    Sequential,
}

#[derive(Debug)]
pub(crate) struct IdAllocator {
    order: IdOrder,
    ordinal_of_source: HashMap<Box<str>, i64>,
    /// Ordinal → the next free id. Not by source: a store may have been written when ids were
    /// given out in another order, so that sources share ordinals.
    next_of_ordinal: HashMap<i64, i64>,
    /// The first id nobody has: for sources, of a new ordinal.
    next: i64,
    /// Up to here an id may mean a label set that was lost.
    retired: i64,
}

/// Where a series comes from: its scrape target, else its metric.
pub(super) fn source_of(labels: &Labels) -> &str {
    match labels.get(INSTANCE) {
        "" => labels.metric_name(),
        instance => instance,
    }
}

impl IdAllocator {
    pub(crate) fn new(order: IdOrder) -> Self {
        let next = match order {
            IdOrder::BySource => PER_ORDINAL_MAX,
            IdOrder::Sequential => 1,
        };
        let (ordinal_of_source, next_of_ordinal) = (HashMap::new(), HashMap::new());
        Self { order, ordinal_of_source, next_of_ordinal, next, retired: 0 }
    }

    pub(crate) fn next(&mut self, source: &str) -> i64 {
        if self.order == IdOrder::Sequential {
            self.next += 1;
            return self.next - 1;
        }
        let ordinal = self.ordinal_of_source.get(source);
        let free = ordinal.and_then(|it| self.next_of_ordinal.get(it)).copied();
        let id = match free {
            Some(id) if id % PER_ORDINAL_MAX != 0 => id,
            _ => self.next,
        };
        self.take(id, source);
        id
    }

    /// Notes that an id is in use.
    pub(crate) fn take(&mut self, id: i64, source: &str) {
        match self.order {
            IdOrder::Sequential => self.next = self.next.max(id + 1),
            IdOrder::BySource => {
                let ordinal = id / PER_ORDINAL_MAX;
                self.next = self.next.max((ordinal + 1) * PER_ORDINAL_MAX);
                let next = self.next_of_ordinal.entry(ordinal).or_default();
                *next = (*next).max(id + 1);
                match self.ordinal_of_source.get_mut(source) {
                    _ if id <= self.retired => {}
                    Some(it) => *it = ordinal.max(*it),
                    None => drop(self.ordinal_of_source.insert(source.into(), ordinal)),
                }
            }
        }
    }

    /// Gives out no id up to `id` any more: every source begins a new ordinal.
    pub(crate) fn retire_through(&mut self, id: i64) {
        let retired = match self.order {
            IdOrder::Sequential => id,
            IdOrder::BySource => (id / PER_ORDINAL_MAX + 1) * PER_ORDINAL_MAX - 1,
        };
        self.retired = self.retired.max(retired);
        self.next = self.next.max(self.retired + 1);
        self.ordinal_of_source.retain(|_, it| *it * PER_ORDINAL_MAX > self.retired);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_id_is_never_given_out_again() {
        let mut ids = IdAllocator::new(IdOrder::BySource);
        ids.take(5 << 24, "a");
        ids.take(7 << 24, "b");
        ids.retire_through((5 << 24) + 100);
        // As a replay of the log does.
        ids.take((5 << 24) + 3, "a");
        assert_eq!([ids.next("a"), ids.next("b")], [8 << 24, (7 << 24) + 1]);
        let mut ids = IdAllocator::new(IdOrder::Sequential);
        ids.retire_through(41);
        assert_eq!(ids.next(""), 42);
    }

    #[test]
    fn series_of_a_source_are_neighbours_also_after_a_restart() {
        let mut ids = IdAllocator::new(IdOrder::BySource);
        let given = ["a", "b", "a"].map(|it| ids.next(it));
        assert_eq!(given, [1 << 24, 2 << 24, (1 << 24) + 1]);
        let mut restored = IdAllocator::new(IdOrder::BySource);
        for (id, source) in given.into_iter().zip(["a", "b", "a"]) {
            restored.take(id, source);
        }
        assert_eq!(
            ["a", "b", "c"].map(|it| restored.next(it)),
            [(1 << 24) + 2, (2 << 24) + 1, 3 << 24]
        );
    }

    #[test]
    fn a_source_that_runs_over_gets_another_ordinal() {
        let mut ids = IdAllocator::new(IdOrder::BySource);
        ids.take((2 << 24) - 1, "a");
        assert_eq!(ids.next("a"), 2 << 24);
        assert_eq!(ids.next("b"), 3 << 24);
        assert_eq!(ids.next("a"), (2 << 24) + 1);
    }

    #[test]
    fn sources_that_share_an_ordinal_never_share_an_id() {
        let mut ids = IdAllocator::new(IdOrder::BySource);
        ids.take(1 << 24, "a");
        ids.take((1 << 24) + 1, "b");
        assert_eq!(["a", "b", "a"].map(|it| ids.next(it)), [2, 3, 4].map(|it| (1 << 24) + it));
    }

    #[test]
    fn a_source_is_a_scrape_target_or_else_a_metric() {
        let source = |pairs: &[(&str, &str)]| {
            source_of(&Labels::from_pairs(pairs.iter().copied()).unwrap()).to_owned()
        };
        assert_eq!(source(&[("__name__", "up"), ("instance", "h:9100")]), "h:9100");
        assert_eq!(source(&[("__name__", "up"), ("job", "node")]), "up");
    }
}
