//! Giving out ids so that the series of one metric are neighbours.

use std::collections::HashMap;

/// Below these bits an id counts the series of one metric.
const METRIC_SHIFT: u32 = 24;
const PER_ORDINAL_MAX: i64 = 1 << METRIC_SHIFT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdOrder {
    /// `metric ordinal << 24 | n`; a metric that runs over gets another ordinal.
    ByMetric,
    /// One after the other.
    Sequential,
}

#[derive(Debug)]
pub(crate) struct IdAllocator {
    order: IdOrder,
    /// Metric → the next free id.
    next_of_metric: HashMap<Box<str>, i64>,
    /// The first id nobody has: for metrics, of a new ordinal.
    next: i64,
}

impl IdAllocator {
    pub(crate) fn new(order: IdOrder) -> Self {
        let next = match order {
            IdOrder::ByMetric => PER_ORDINAL_MAX,
            IdOrder::Sequential => 1,
        };
        Self { order, next_of_metric: HashMap::new(), next }
    }

    pub(crate) fn next(&mut self, metric: &str) -> i64 {
        if self.order == IdOrder::Sequential {
            self.next += 1;
            return self.next - 1;
        }
        let id = match self.next_of_metric.get(metric) {
            Some(&id) if id % PER_ORDINAL_MAX != 0 => id,
            _ => {
                self.next += PER_ORDINAL_MAX;
                self.next - PER_ORDINAL_MAX
            }
        };
        self.set_next(metric, id + 1);
        id
    }

    /// Notes that an id is in use.
    pub(crate) fn take(&mut self, id: i64, metric: &str) {
        match self.order {
            IdOrder::Sequential => self.next = self.next.max(id + 1),
            IdOrder::ByMetric => {
                self.next = self.next.max((id / PER_ORDINAL_MAX + 1) * PER_ORDINAL_MAX);
                if self.next_of_metric.get(metric).is_none_or(|it| *it <= id) {
                    self.set_next(metric, id + 1);
                }
            }
        }
    }

    fn set_next(&mut self, metric: &str, id: i64) {
        match self.next_of_metric.get_mut(metric) {
            Some(next) => *next = id,
            None => drop(self.next_of_metric.insert(metric.into(), id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_metric_are_neighbours_also_after_a_restart() {
        let mut ids = IdAllocator::new(IdOrder::ByMetric);
        let given = ["a", "b", "a"].map(|it| ids.next(it));
        assert_eq!(given, [1 << 24, 2 << 24, (1 << 24) + 1]);
        let mut restored = IdAllocator::new(IdOrder::ByMetric);
        for (id, metric) in given.into_iter().zip(["a", "b", "a"]) {
            restored.take(id, metric);
        }
        assert_eq!(
            ["a", "b", "c"].map(|it| restored.next(it)),
            [(1 << 24) + 2, (2 << 24) + 1, 3 << 24]
        );
    }

    #[test]
    fn a_metric_that_runs_over_gets_another_ordinal() {
        let mut ids = IdAllocator::new(IdOrder::ByMetric);
        ids.take((2 << 24) - 1, "a");
        assert_eq!(ids.next("a"), 2 << 24);
        assert_eq!(ids.next("b"), 3 << 24);
        assert_eq!(ids.next("a"), (2 << 24) + 1);
    }
}
