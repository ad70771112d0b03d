//! Aggregations done while series come out of a scan: one cell a group and step.

use skep_promql::{FusedOp, absent, is_absent};

/// Partial results, which can be merged in any order.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    op: FusedOp,
    n_steps: usize,
    /// Group by group, `n_steps` each.
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    count: u64,
    value: f64,
    /// What rounding took from `value` (Kahan, Neumaier).
    lost: f64,
    /// Averages whose sum leaves the range of floats go on as a running mean.
    is_mean: bool,
}

impl Groups {
    pub(crate) fn new(op: FusedOp, n_groups: usize, n_steps: usize) -> Self {
        Self { op, n_steps, cells: vec![Cell::default(); n_groups.saturating_mul(n_steps)] }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.cells.len() * size_of::<Cell>()
    }

    /// One series' values at every step, [`absent`] where it has none.
    pub(crate) fn add(&mut self, group_idx: usize, values: &[f64]) {
        let op = self.op;
        let start = group_idx.saturating_mul(self.n_steps);
        let cells = self.cells.get_mut(start..).unwrap_or_default();
        for (cell, &value) in cells.iter_mut().zip(values).take(self.n_steps) {
            if !is_absent(value) {
                cell.add(op, value);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        let op = self.op;
        for (cell, other) in self.cells.iter_mut().zip(&other.cells) {
            cell.merge(op, other);
        }
    }

    /// The result of each group.
    pub(crate) fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = f64>> {
        self.cells
            .chunks(self.n_steps.max(1))
            .map(|cells| cells.iter().map(|it| it.result(self.op)))
    }
}

impl Cell {
    fn add(&mut self, op: FusedOp, value: f64) {
        self.count += 1;
        if self.count == 1 {
            self.value = value;
            return;
        }
        match op {
            FusedOp::Sum => self.add_exactly(value),
            FusedOp::Avg => self.add_to_average(value, 1),
            FusedOp::Min if value < self.value || self.value.is_nan() => self.value = value,
            FusedOp::Max if value > self.value || self.value.is_nan() => self.value = value,
            FusedOp::Min | FusedOp::Max | FusedOp::Count | FusedOp::Group => {}
        }
    }

    fn merge(&mut self, op: FusedOp, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count += other.count;
        match op {
            FusedOp::Sum => {
                self.add_exactly(other.value);
                self.lost += other.lost;
            }
            FusedOp::Avg => self.merge_average(other),
            FusedOp::Min if other.value < self.value || self.value.is_nan() => {
                self.value = other.value;
            }
            FusedOp::Max if other.value > self.value || self.value.is_nan() => {
                self.value = other.value;
            }
            FusedOp::Min | FusedOp::Max | FusedOp::Count | FusedOp::Group => {}
        }
    }

    fn result(&self, op: FusedOp) -> f64 {
        if self.count == 0 {
            return absent();
        }
        match op {
            FusedOp::Sum => self.value + self.lost,
            FusedOp::Avg if self.is_mean => self.value + self.lost,
            FusedOp::Avg => {
                let count = as_f64(self.count);
                self.value / count + self.lost / count
            }
            FusedOp::Min | FusedOp::Max => self.value,
            FusedOp::Count => as_f64(self.count),
            FusedOp::Group => 1.0,
        }
    }

    fn add_exactly(&mut self, value: f64) {
        (self.value, self.lost) = compensated(self.value, self.lost, value);
    }

    /// Adds a value that stands for `weight` samples; `count` already has them.
    fn add_to_average(&mut self, value: f64, weight: u64) {
        let count_before = as_f64(self.count - weight);
        if !self.is_mean {
            let (sum, lost) = compensated(self.value, self.lost, value * as_f64(weight));
            if !sum.is_infinite() {
                (self.value, self.lost) = (sum, lost);
                return;
            }
            self.is_mean = true;
            self.value /= count_before;
            self.lost /= count_before;
        }
        let count = as_f64(self.count);
        let kept = count_before / count;
        let share = value * (as_f64(weight) / count);
        (self.value, self.lost) = compensated(kept * self.value, kept * self.lost, share);
    }

    fn merge_average(&mut self, other: &Self) {
        if !self.is_mean && !other.is_mean {
            let (sum, lost) = compensated(self.value, self.lost, other.value);
            if !sum.is_infinite() {
                (self.value, self.lost) = (sum, lost + other.lost);
                return;
            }
        }
        self.add_to_average(other.result(FusedOp::Avg), other.count);
    }
}

/// Neumaier's summation, as Prometheus sums.
fn compensated(sum: f64, lost: f64, value: f64) -> (f64, f64) {
    let total = sum + value;
    let lost = if total.is_infinite() {
        0.0
    } else if sum.abs() >= value.abs() {
        lost + ((sum - total) + value)
    } else {
        lost + ((value - total) + sum)
    };
    (total, lost)
}

#[expect(clippy::cast_precision_loss, reason = "a group has fewer than 2^53 series")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPS: [FusedOp; 6] =
        [FusedOp::Sum, FusedOp::Avg, FusedOp::Min, FusedOp::Max, FusedOp::Count, FusedOp::Group];

    fn all(op: FusedOp, shards: &[&[f64]]) -> f64 {
        let mut total = Groups::new(op, 1, 1);
        for shard in shards {
            let mut groups = Groups::new(op, 1, 1);
            shard.iter().for_each(|it| groups.add(0, &[*it]));
            total.merge(&groups);
        }
        total.rows().next().unwrap().next().unwrap()
    }

    #[test]
    fn shards_do_not_change_a_result() {
        let values = [1e100, 3.5, -1e100, 0.25, f64::NAN, 8.0];
        for op in OPS {
            let once = all(op, &[&values]);
            for cut in 0..values.len() {
                let (left, right) = values.split_at(cut);
                let both = all(op, &[left, right]);
                assert!(once == both || once.is_nan() && both.is_nan(), "{op:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn sums_lose_no_small_values_and_averages_do_not_overflow() {
        assert_eq!(all(FusedOp::Sum, &[&[1e100, 1.0, -1e100]]), 1.0);
        for shards in [[&[f64::MAX; 2][..], &[f64::MAX]], [&[f64::MAX], &[f64::MAX; 2]]] {
            let relative = all(FusedOp::Avg, &shards) / f64::MAX;
            assert!((relative - 1.0).abs() < 1e-15, "{relative}");
        }
        assert_eq!(all(FusedOp::Avg, &[&[f64::INFINITY, 1.0]]), f64::INFINITY);
    }

    #[test]
    fn nan_counts_as_smallest_and_largest_only_when_alone() {
        assert_eq!(all(FusedOp::Min, &[&[f64::NAN, 2.0]]), 2.0);
        assert_eq!(all(FusedOp::Max, &[&[f64::NAN], &[2.0]]), 2.0);
        assert!(all(FusedOp::Max, &[&[f64::NAN]]).is_nan());
    }

    #[test]
    fn a_group_without_a_value_stays_absent() {
        let mut groups = Groups::new(FusedOp::Count, 1, 2);
        groups.add(0, &[absent(), 1.0]);
        let row: Vec<f64> = groups.rows().next().unwrap().collect();
        assert!(is_absent(row[0]));
        assert_eq!(row[1], 1.0);
    }
}
