//! Exemplars: the newest of all series in memory, as Prometheus keeps them. They do not survive
//! the process; senders that care send them on as traces.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, MutexGuard},
};

use skep_proto::{
    Exemplar, ExemplarRows, Labels, Matcher, SeriesKey, TimeRange, hash_sorted_pairs,
};

use crate::store::Store;

/// A series with its exemplars, in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    pub labels: Arc<Labels>,
    pub exemplars: Vec<Exemplar>,
}

/// A ring of them.
#[derive(Debug, Default)]
pub(crate) struct Exemplars {
    /// Which series each is of, in the order they came.
    order: VecDeque<i64>,
    /// By id, in the order they came, which is that of time. None is empty.
    series: HashMap<i64, (Arc<Labels>, VecDeque<Exemplar>)>,
}

impl Exemplars {
    /// Whether it was taken: not one that is older than the newest of its series, or that again.
    fn push(&mut self, id: i64, labels: &Arc<Labels>, exemplar: Exemplar, n_max: usize) -> bool {
        let newest = self.series.get(&id).and_then(|it| it.1.back());
        if n_max == 0 || newest.is_some_and(|it| !is_newer(&exemplar, it)) {
            return false;
        }
        while self.order.len() >= n_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.drop_first(oldest);
        }
        let empty = || (Arc::clone(labels), VecDeque::new());
        self.series.entry(id).or_insert_with(empty).1.push_back(exemplar);
        self.order.push_back(id);
        true
    }

    fn drop_first(&mut self, id: i64) {
        let Some((_, of_series)) = self.series.get_mut(&id) else { return };
        of_series.pop_front();
        if of_series.is_empty() {
            self.series.remove(&id);
        }
    }

    fn select(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        let matches = |labels: &Labels| {
            let all = |it: &Vec<Matcher>| it.iter().all(|it| it.matches(labels.get(it.name())));
            selectors.iter().any(all)
        };
        // A label set that was forgotten and came again has two ids.
        let mut found: BTreeMap<&Arc<Labels>, Vec<Exemplar>> = BTreeMap::new();
        for (labels, exemplars) in self.series.values().filter(|it| matches(&it.0)) {
            let inside = exemplars.iter().filter(|it| range.contains(it.ts)).cloned();
            found.entry(labels).or_default().extend(inside);
        }
        found.retain(|_, exemplars| !exemplars.is_empty());
        let sorted = found.into_iter().map(|(labels, mut exemplars)| {
            exemplars.sort_by_key(|it| it.ts);
            SeriesExemplars { labels: Arc::clone(labels), exemplars }
        });
        sorted.collect()
    }
}

/// Of one time stamp greater values are newer, as Prometheus has it.
fn is_newer(exemplar: &Exemplar, than: &Exemplar) -> bool {
    let by_value = || exemplar.value.total_cmp(&than.value);
    let by_labels = || exemplar.labels.cmp(&than.labels);
    exemplar.ts.cmp(&than.ts).then_with(by_value).then_with(by_labels).is_gt()
}

impl Store {
    /// Keeps exemplars of series that are known, which those of the same request are once its
    /// samples are prepared. Returns how many it took.
    pub fn add_exemplars(&self, rows: &ExemplarRows<'_>) -> usize {
        let mut n_taken = 0;
        for row in &rows.series {
            let entry = match row.key() {
                SeriesKey::Known(series) => self.series.entries(&[series.0]).pop(),
                SeriesKey::Labels(labels, _) => {
                    let pairs = labels.iter().copied();
                    self.series.find(hash_sorted_pairs(pairs.clone()), &pairs)
                }
            };
            let Some(entry) = entry else { continue };
            let mut exemplars = self.exemplars_held();
            for it in &row.items {
                let n_max = self.config.n_exemplars_max;
                n_taken += usize::from(exemplars.push(entry.id, &entry.labels, it.clone(), n_max));
            }
        }
        n_taken
    }

    /// The exemplars of `range` (ends included) of every series that one of `selectors` matches,
    /// in order of labels.
    pub fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars> {
        self.exemplars_held().select(selectors, range)
    }

    fn exemplars_held(&self) -> MutexGuard<'_, Exemplars> {
        self.exemplars.lock().expect("nothing panics while it holds the exemplars")
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use skep_proto::TimestampMs;

    use super::*;

    fn exemplar(trace: &str, value: f64, ts: i64) -> Exemplar {
        Exemplar::new([("trace_id", trace)], value, TimestampMs(ts)).unwrap()
    }

    fn pushed(n_max: usize, all: &[(i64, &str, f64, i64)]) -> Exemplars {
        let mut exemplars = Exemplars::default();
        for (id, trace, value, ts) in all {
            let labels = [("__name__", "up".to_owned()), ("n", id.to_string())];
            let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
            let labels = Arc::new(Labels::from_pairs(labels).unwrap());
            exemplars.push(*id, &labels, exemplar(trace, *value, *ts), n_max);
        }
        exemplars
    }

    #[track_caller]
    fn check(exemplars: &Exemplars, selectors: &[Vec<Matcher>], expected: &Expect) {
        let range = TimeRange { start: TimestampMs(10), end: TimestampMs(30) };
        let mut out = String::new();
        for SeriesExemplars { labels, exemplars } in exemplars.select(selectors, range) {
            write!(out, "{labels}").unwrap();
            for it in &exemplars {
                write!(out, " {}={}@{}", it.labels.get("trace_id"), it.value, it.ts.0).unwrap();
            }
            out.push('\n');
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn the_oldest_of_all_series_go_first() {
        let all = [(1, "a", 1.0, 10), (2, "b", 2.0, 10), (1, "c", 3.0, 20), (2, "d", 4.0, 30)];
        check(
            &pushed(3, &all),
            &[vec![]],
            &expect![[r#"
                up{n="1"} c=3@20
                up{n="2"} b=2@10 d=4@30
            "#]],
        );
        assert_eq!(pushed(1, &all).series.len(), 1);
        assert_eq!(pushed(0, &all).series.len(), 0);
    }

    #[test]
    fn what_comes_again_or_late_is_left_out() {
        let all = [
            (1, "a", 1.0, 20),
            (1, "a", 1.0, 20),
            (1, "b", 1.0, 19),
            (1, "b", 0.5, 20),
            (1, "c", 2.0, 20),
        ];
        check(
            &pushed(9, &all),
            &[vec![]],
            &expect![[r#"
                up{n="1"} a=1@20 c=2@20
            "#]],
        );
    }

    #[test]
    fn any_selector_finds_and_times_outside_are_left_out() {
        let all = [(1, "a", 1.0, 9), (1, "b", 1.0, 30), (2, "c", 2.0, 31), (3, "d", 1.0, 10)];
        let selectors = ["1", "2", "1"].map(|it| vec![Matcher::equal("n", it)]);
        check(
            &pushed(9, &all),
            &selectors,
            &expect![[r#"
                up{n="1"} b=1@30
            "#]],
        );
        check(&pushed(9, &all), &[], &expect![[""]]);
    }
}
