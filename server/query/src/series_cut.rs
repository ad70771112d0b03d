//! Cuts a stream of sorted rows into whole series, without copying those that lie in one batch.

use std::{mem, ops::Range, sync::Arc};

use skep_proto::TimeRange;

/// All rows of one series, in order of time, each time stamp once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SeriesRows<'a> {
    /// Position of the series in the list of wanted ids.
    pub(crate) series_idx: usize,
    pub(crate) ts: &'a [i64],
    pub(crate) values: &'a [f64],
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("samples are not in order of series and time: series {series_id} after {previous_id}")]
pub(crate) struct OrderError {
    series_id: i64,
    previous_id: i64,
}

/// Takes rows in order of (series, time), gives series in order of id. It keeps only what was
/// asked for, so a scan may return more than that.
#[derive(Debug)]
pub(crate) struct SeriesCut {
    /// Ascending.
    wanted: Arc<[i64]>,
    range: TimeRange,
    /// Positions in `wanted` that are this cut's and were not yet given out.
    own: Range<usize>,
    previous_id: Option<i64>,
    /// The series whose rows the last batch ended with; more may follow.
    open: Option<Open>,
    /// Where rows go whose time stamps are not unique.
    unique: (Vec<i64>, Vec<f64>),
}

#[derive(Debug, Default)]
struct Open {
    series_id: i64,
    ts: Vec<i64>,
    values: Vec<f64>,
}

impl SeriesCut {
    /// `own` are the positions in `wanted` this cut gives out; other series of the input belong to
    /// other partitions.
    pub(crate) fn new(wanted: Arc<[i64]>, own: Range<usize>, range: TimeRange) -> Self {
        Self { wanted, range, own, previous_id: None, open: None, unique: Default::default() }
    }

    /// Calls `each` for every series that is known to be complete.
    ///
    /// # Errors
    /// Rows out of order: a table broke its promise.
    pub(crate) fn push(
        &mut self,
        ids: &[i64],
        ts: &[i64],
        values: &[f64],
        each: &mut impl FnMut(SeriesRows<'_>),
    ) -> Result<(), OrderError> {
        let mut start = 0;
        while let Some(&series_id) = ids.get(start) {
            let rest = ids.get(start..).unwrap_or_default();
            let end = start + run_length(rest);
            let run = start..end;
            let may_go_on = end == ids.len();
            start = end;
            if self.open.as_ref().is_some_and(|it| it.series_id != series_id) {
                self.close(each)?;
            }
            let ts = ts.get(run.clone()).unwrap_or_default();
            let values = values.get(run).unwrap_or_default();
            match &mut self.open {
                Some(open) => {
                    open.ts.extend(ts);
                    open.values.extend(values);
                }
                None if may_go_on => {
                    let (ts, values) = (ts.to_vec(), values.to_vec());
                    self.open = Some(Open { series_id, ts, values });
                }
                None => self.give(series_id, ts, values, each)?,
            }
        }
        Ok(())
    }

    /// Gives out the last series.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) fn close(
        &mut self,
        each: &mut impl FnMut(SeriesRows<'_>),
    ) -> Result<(), OrderError> {
        match self.open.take() {
            Some(open) => self.give(open.series_id, &open.ts, &open.values, each),
            None => Ok(()),
        }
    }

    fn give(
        &mut self,
        series_id: i64,
        ts: &[i64],
        values: &[f64],
        each: &mut impl FnMut(SeriesRows<'_>),
    ) -> Result<(), OrderError> {
        if let Some(previous_id) = self.previous_id.filter(|it| series_id <= *it) {
            return Err(OrderError { series_id, previous_id });
        }
        self.previous_id = Some(series_id);
        let ahead = self.wanted.get(self.own.clone()).unwrap_or_default();
        let n_skipped = match ahead.first() {
            // Most often it is the next one.
            Some(&next) if next == series_id => 0,
            _ => ahead.partition_point(|&it| it < series_id),
        };
        if ahead.get(n_skipped) != Some(&series_id) {
            return Ok(());
        }
        let series_idx = self.own.start + n_skipped;
        self.own.start = series_idx + 1;
        let inside = rows_inside(ts, self.range);
        let ts = ts.get(inside.clone()).unwrap_or_default();
        let values = values.get(inside).unwrap_or_default();
        match time_order(ts) {
            TimeOrder::Unique => each(SeriesRows { series_idx, ts, values }),
            TimeOrder::Repeats => {
                let mut unique = mem::take(&mut self.unique);
                keep_last(ts, values, &mut unique);
                each(SeriesRows { series_idx, ts: &unique.0, values: &unique.1 });
                self.unique = unique;
            }
            TimeOrder::Broken => return Err(OrderError { series_id, previous_id: series_id }),
        }
        Ok(())
    }
}

fn run_length(ids: &[i64]) -> usize {
    ids.iter().position(|it| Some(it) != ids.first()).unwrap_or(ids.len())
}

fn rows_inside(ts: &[i64], range: TimeRange) -> Range<usize> {
    let start = ts.partition_point(|&it| it < range.start.0);
    let end = ts.partition_point(|&it| it <= range.end.0);
    start..end.max(start)
}

enum TimeOrder {
    Unique,
    Repeats,
    Broken,
}

fn time_order(ts: &[i64]) -> TimeOrder {
    let mut order = TimeOrder::Unique;
    for [left, right] in ts.array_windows() {
        if left > right {
            return TimeOrder::Broken;
        }
        if left == right {
            order = TimeOrder::Repeats;
        }
    }
    order
}

fn keep_last(ts: &[i64], values: &[f64], (out_ts, out_values): &mut (Vec<i64>, Vec<f64>)) {
    out_ts.clear();
    out_values.clear();
    for (&at, &value) in ts.iter().zip(values) {
        if out_ts.last() == Some(&at) {
            out_values.pop();
        } else {
            out_ts.push(at);
        }
        out_values.push(value);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use skep_proto::TimestampMs;

    use super::*;

    type Batch<'a> = (&'a [i64], &'a [i64], &'a [f64]);

    fn cut(wanted: &[i64], batches: &[Batch<'_>]) -> Result<String, OrderError> {
        let range = TimeRange { start: TimestampMs(10), end: TimestampMs(40) };
        let mut cut = SeriesCut::new(wanted.into(), 0..wanted.len(), range);
        let mut out = String::new();
        let mut each = |it: SeriesRows<'_>| {
            writeln!(out, "{}: {:?} {:?}", it.series_idx, it.ts, it.values).unwrap();
        };
        for (ids, ts, values) in batches {
            cut.push(ids, ts, values, &mut each)?;
        }
        cut.close(&mut each)?;
        Ok(out)
    }

    #[track_caller]
    fn check(wanted: &[i64], batches: &[Batch<'_>], expect: &Expect) {
        expect.assert_eq(&cut(wanted, batches).unwrap());
    }

    #[test]
    fn a_series_over_three_batches_is_one() {
        check(
            &[1, 2, 3],
            &[
                (&[1, 2, 2], &[10, 10, 11], &[0.1, 0.2, 0.3]),
                (&[2, 2], &[12, 13], &[0.4, 0.5]),
                (&[2, 3], &[14, 10], &[0.6, 0.7]),
            ],
            &expect![[r#"
                0: [10] [0.1]
                1: [10, 11, 12, 13, 14] [0.2, 0.3, 0.4, 0.5, 0.6]
                2: [10] [0.7]
            "#]],
        );
    }

    #[test]
    fn series_and_times_not_asked_for_are_left_out() {
        check(
            &[2, 9],
            &[(&[1, 2, 2, 2, 4], &[10, 9, 40, 41, 12], &[0.1, 0.2, 0.3, 0.4, 0.5])],
            &expect![[r#"
                0: [40] [0.3]
            "#]],
        );
    }

    #[test]
    fn a_shard_gives_out_its_own_series_only() {
        let mut cut = SeriesCut::new([1, 2, 3].into(), 1..2, TimeRange::ALL);
        let mut given = Vec::new();
        cut.push(&[1, 2, 3], &[7, 8, 9], &[0.0; 3], &mut |it| given.push(it.series_idx)).unwrap();
        assert_eq!(given, [1]);
    }

    #[test]
    fn the_last_of_equal_time_stamps_counts() {
        check(
            &[1],
            &[(&[1, 1], &[10, 11], &[0.1, 0.2]), (&[1, 1], &[11, 12], &[0.3, 0.4])],
            &expect![[r#"
                0: [10, 11, 12] [0.1, 0.3, 0.4]
            "#]],
        );
    }

    #[test]
    fn rows_out_of_order_are_an_error_not_a_wrong_number() {
        assert!(cut(&[1, 2], &[(&[2, 1, 2], &[10, 10, 11], &[0.0; 3])]).is_err());
        assert!(cut(&[1], &[(&[1, 1], &[11, 10], &[0.0; 2])]).is_err());
    }
}
