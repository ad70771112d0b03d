//! Which rows a scan wants, as far as the order of the tables can tell: ids and a time range.

use std::sync::Arc;

use arrow::datatypes::TimeUnit;
use datafusion::{
    common::ScalarValue,
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
    prelude::{col, lit},
};
use skep_proto::names::column;

use crate::schema::UTC;

/// By what a table is sorted: its id column, then its time stamp in this unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) id: &'static str,
    pub(crate) unit: TimeUnit,
}

impl Key {
    fn time_of(&self, value: &ScalarValue) -> Option<i64> {
        match (value, self.unit) {
            (ScalarValue::TimestampMillisecond(value, _), TimeUnit::Millisecond)
            | (ScalarValue::TimestampNanosecond(value, _), TimeUnit::Nanosecond) => *value,
            _ => None,
        }
    }

    fn scalar_of(&self, ts: i64) -> ScalarValue {
        let zone = Some(UTC.into());
        match self.unit {
            TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(ts), zone),
            _ => ScalarValue::TimestampMillisecond(Some(ts), zone),
        }
    }
}

/// Of a table sorted by (id, ts). Time stamps are in the table's own unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFilter {
    /// Sorted, each once; `None` for any.
    ids: Option<Arc<[i64]>>,
    id_min: i64,
    id_max: i64,
    pub(crate) ts_min: i64,
    pub(crate) ts_max: i64,
}

/// The longest IN list that Parquet's pruning rewrites into comparisons.
const PRUNED_IN_LIST_MAX: usize = 20;
/// A longer list is told to the pruning as this many ranges of ids.
const ID_RANGES_MAX: usize = 16;

impl RowFilter {
    pub(crate) const ALL: Self =
        Self { ids: None, id_min: i64::MIN, id_max: i64::MAX, ts_min: i64::MIN, ts_max: i64::MAX };

    /// Any id, time stamps from `ts_min` to `ts_max`.
    pub(crate) fn between(ts_min: i64, ts_max: i64) -> Self {
        Self { ts_min, ts_max, ..Self::ALL }
    }

    /// The given ids (sorted, each once), time stamps from one to the other.
    pub(crate) fn of_ids(ids: Vec<i64>, (ts_min, ts_max): (i64, i64)) -> Self {
        Self { ids: Some(ids.into()), ts_min, ts_max, ..Self::ALL }
    }

    /// The first wanted id that is `id` or greater.
    pub(crate) fn next_id(&self, id: i64) -> Option<i64> {
        let id = id.max(self.id_min);
        if id > self.id_max {
            return None;
        }
        match &self.ids {
            None => Some(id),
            Some(ids) => {
                let at = ids.partition_point(|it| *it < id);
                ids.get(at).copied().filter(|it| *it <= self.id_max)
            }
        }
    }

    pub(crate) fn wants_id(&self, id: i64) -> bool {
        self.next_id(id) == Some(id)
    }

    pub(crate) fn wants_ts(&self, ts: i64) -> bool {
        self.ts_min <= ts && ts <= self.ts_max
    }

    /// Whether rows of these ids and times (ends included) can hold a wanted one.
    pub(crate) fn overlaps(&self, ids: (i64, i64), ts: (i64, i64)) -> bool {
        self.ts_min <= ts.1
            && ts.0 <= self.ts_max
            && self.next_id(ids.0).is_some_and(|it| it <= ids.1)
    }

    /// Whether no row can satisfy it.
    pub(crate) fn is_empty(&self) -> bool {
        self.ts_min > self.ts_max || self.next_id(i64::MIN).is_none()
    }

    /// The wanted ids, if they are listed.
    pub(crate) fn listed_ids(&self) -> Option<&[i64]> {
        let ids = self.ids.as_deref()?;
        let start = ids.partition_point(|it| *it < self.id_min);
        let end = ids.partition_point(|it| *it <= self.id_max);
        ids.get(start..end)
    }

    /// Narrows by one expression; whether all of it was understood.
    pub(crate) fn narrow(&mut self, expr: &Expr, key: &Key) -> bool {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                let left = self.narrow(left, key);
                self.narrow(right, key) && left
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(column), Expr::Literal(value, _)) => {
                        self.narrow_by(&column.name, *op, value, key)
                    }
                    (Expr::Literal(value, _), Expr::Column(column)) => {
                        op.swap().is_some_and(|op| self.narrow_by(&column.name, op, value, key))
                    }
                    _ => false,
                }
            }
            Expr::Between(between) if !between.negated => {
                let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                    (between.expr.as_ref(), between.low.as_ref(), between.high.as_ref())
                else {
                    return false;
                };
                let name = &column.name;
                self.narrow_by(name, Operator::GtEq, low, key)
                    && self.narrow_by(name, Operator::LtEq, high, key)
            }
            Expr::InList(InList { expr, list, negated: false }) => {
                let Expr::Column(column) = expr.as_ref() else { return false };
                let ids: Option<Vec<i64>> = list.iter().map(literal_id).collect();
                match ids {
                    Some(ids) if column.name == key.id => {
                        self.narrow_to(ids);
                        true
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }

    fn narrow_to(&mut self, mut ids: Vec<i64>) {
        ids.retain(|it| self.wants_id(*it));
        ids.sort_unstable();
        ids.dedup();
        self.ids = Some(ids.into());
    }

    fn narrow_by(&mut self, column: &str, op: Operator, value: &ScalarValue, key: &Key) -> bool {
        let (min, max, value) = if column == key.id {
            let ScalarValue::Int64(Some(value)) = value else { return false };
            (&mut self.id_min, &mut self.id_max, *value)
        } else if column == column::TS {
            let Some(value) = key.time_of(value) else { return false };
            (&mut self.ts_min, &mut self.ts_max, value)
        } else {
            return false;
        };
        match op {
            Operator::Eq => {
                *min = value.max(*min);
                *max = value.min(*max);
            }
            Operator::GtEq => *min = value.max(*min),
            Operator::LtEq => *max = value.min(*max),
            Operator::Gt => *min = value.saturating_add(1).max(*min),
            Operator::Lt => *max = value.saturating_sub(1).min(*max),
            _ => return false,
        }
        true
    }

    /// The same as an expression that Parquet's pruning understands; `None` where everything is
    /// wanted.
    pub(crate) fn to_expr(&self, key: &Key) -> Option<Expr> {
        let id = || col(key.id);
        let at = || col(column::TS);
        let time = |ts| Expr::Literal(key.scalar_of(ts), None);
        let mut parts = Vec::new();
        if let Some(ids) = self.listed_ids() {
            if ids.len() <= PRUNED_IN_LIST_MAX {
                parts.push(id().in_list(ids.iter().map(|it| lit(*it)).collect(), false));
            } else {
                let ranges =
                    id_ranges(ids).into_iter().map(|(low, high)| id().between(lit(low), lit(high)));
                parts.extend(ranges.reduce(Expr::or));
            }
        }
        if self.id_min > i64::MIN {
            parts.push(id().gt_eq(lit(self.id_min)));
        }
        if self.id_max < i64::MAX {
            parts.push(id().lt_eq(lit(self.id_max)));
        }
        if self.ts_min > i64::MIN {
            parts.push(at().gt_eq(time(self.ts_min)));
        }
        if self.ts_max < i64::MAX {
            parts.push(at().lt_eq(time(self.ts_max)));
        }
        parts.into_iter().reduce(Expr::and)
    }
}

fn literal_id(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::Int64(id), _) => *id,
        _ => None,
    }
}

/// Few ranges that cover all ids, cut where the gaps are widest.
fn id_ranges(ids: &[i64]) -> Vec<(i64, i64)> {
    let mut gaps: Vec<(u64, usize)> = ids
        .array_windows::<2>()
        .enumerate()
        .map(|(i, [left, right])| (right.abs_diff(*left), i + 1))
        .collect();
    gaps.sort_unstable_by(|left, right| right.cmp(left));
    let mut cuts: Vec<usize> = gaps.iter().take(ID_RANGES_MAX - 1).map(|it| it.1).collect();
    cuts.sort_unstable();
    cuts.push(ids.len());
    let mut start = 0;
    let mut ranges = Vec::new();
    for cut in cuts {
        if let Some([first, .., last]) | Some([first @ last]) = ids.get(start..cut) {
            ranges.push((*first, *last));
        }
        start = cut;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn ms(value: i64) -> Expr {
        Expr::Literal(ScalarValue::TimestampMillisecond(Some(value), Some("UTC".into())), None)
    }

    fn filter(expr: &Expr) -> (RowFilter, bool) {
        let mut filter = RowFilter::ALL;
        let is_whole = filter.narrow(expr, &Key { id: "id", unit: TimeUnit::Millisecond });
        (filter, is_whole)
    }

    #[test]
    fn lists_and_ranges_are_understood() {
        let expr = col("id")
            .in_list(vec![lit(7_i64), lit(3_i64), lit(5_i64)], false)
            .and(col("ts").gt_eq(ms(10)))
            .and(col("ts").lt(ms(20)))
            .and(col("id").lt_eq(lit(5_i64)));
        let (filter, is_whole) = filter(&expr);
        assert!(is_whole);
        assert_eq!(filter.listed_ids(), Some(&[3, 5][..]));
        assert_eq!((filter.ts_min, filter.ts_max), (10, 19));
        assert_eq!(filter.next_id(4), Some(5));
        assert_eq!(filter.next_id(6), None);
        assert!(filter.overlaps((4, 9), (19, 30)) && !filter.overlaps((6, 9), (19, 30)));
    }

    #[test]
    fn what_is_not_understood_narrows_nothing() {
        let (filter, is_whole) = filter(&col("id").eq(lit(1_i64)).or(col("ts").eq(ms(1))));
        assert_eq!((filter, is_whole), (RowFilter::ALL, false));
    }

    #[test]
    fn many_ids_become_few_ranges_that_hold_them_all() {
        let ids: Vec<i64> = (0..100).map(|it| (it / 10) * 1000 + it).collect();
        let ranges = id_ranges(&ids);
        assert!(ranges.len() <= ID_RANGES_MAX);
        assert!(ids.iter().all(|id| ranges.iter().any(|(low, high)| low <= id && id <= high)));
        assert!(ranges.iter().all(|(low, high)| high - low < 20));
    }
}
