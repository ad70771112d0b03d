//! Names and values of labels: from the postings where these alone can tell, so that a value costs
//! a look at one label set that has it, not at all of them.

use std::{collections::BTreeSet, sync::Arc};

use skep_proto::{Matcher, TimeRange};

use super::{Entry, IndexSnapshot, Inner, hours_of};

impl IndexSnapshot {
    /// Names that a matching label set has, in order, `limit` at most.
    pub(crate) fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Vec<String> {
        if matchers.is_empty() {
            let inner = self.index.inner();
            let has_any = self.has_any(&inner, range);
            let names = inner.postings.iter();
            let names = names.filter(|(_, values)| values.values().any(|it| has_any(it)));
            return names.take(limit).map(|(name, _)| name.to_string()).collect();
        }
        let entries = self.select_unordered(matchers, range);
        let names = entries.iter().flat_map(|it| it.labels.iter()).map(|(name, _)| name);
        distinct(names, limit)
    }

    /// Values of one label among the matching label sets, in order, `limit` at most.
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Vec<String> {
        if matchers.iter().all(|it| it.name() == name) {
            let inner = self.index.inner();
            let has_any = self.has_any(&inner, range);
            let values = inner.postings.get(name).into_iter().flatten();
            let values = values.filter(|(value, ordinals)| {
                matchers.iter().all(|it| it.matches(value)) && has_any(ordinals)
            });
            return values.take(limit).map(|(value, _)| value.to_string()).collect();
        }
        let entries = self.select_unordered(matchers, range);
        distinct(entries.iter().map(|it| it.labels.get(name)).filter(|it| !it.is_empty()), limit)
    }

    /// Whether one of these ordinals may have data in the range.
    fn has_any(&self, inner: &Inner, range: TimeRange) -> impl Fn(&[u32]) -> bool {
        let hours = hours_of(range);
        let entry = |it: &u32| -> Option<&Arc<Entry>> { inner.entries.get(*it as usize)?.as_ref() };
        move |ordinals| {
            // The newest are the likeliest to be there still.
            let ordinals = ordinals.iter().rev().filter(|it| **it < self.n_entries);
            ordinals.filter_map(entry).any(|it| it.is_active(hours))
        }
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>, limit: usize) -> Vec<String> {
    let texts: BTreeSet<&str> = texts.collect();
    texts.into_iter().take(limit).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_proto::{Labels, MatchOp, TimestampMs};

    use super::{
        super::{IdOrder, Index},
        *,
    };

    const DAY_MS: i64 = 86_400_000;

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex]);
        let value = prop::sample::select(vec!["", "1", "2", "1|2", ".*", ".+"]);
        (prop::sample::select(vec!["a", "b", "z"]), op, value)
            .prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
    }

    proptest! {
        #[test]
        fn lists_what_reading_the_labels_of_every_set_would(
            sets in prop::collection::vec(
                (prop::collection::btree_map("[ab]", "[123]", 1..3), 0..4_i32),
                0..30,
            ),
            matchers in prop::collection::vec(matcher(), 0..3),
            days in (0..4_i64, 0..4_i64),
            limit in 0..5_usize,
        ) {
            let index = Arc::new(Index::new(IdOrder::BySource));
            for (set, day) in &sets {
                let labels = Labels::from_pairs(set.clone()).unwrap();
                index.resolve(labels.stable_hash(), &labels.iter()).unwrap().mark_day(*day);
            }
            let snapshot = IndexSnapshot::new(&index);
            let late = Labels::from_pairs([("a", "late"), ("late", "1")]).unwrap();
            index.resolve(late.stable_hash(), &late.iter()).unwrap().mark_day(1);

            let (start, end) = (days.0.min(days.1) * DAY_MS, days.0.max(days.1) * DAY_MS);
            let range = TimeRange { start: TimestampMs(start), end: TimestampMs(end) };
            let entries = snapshot.select_entries(&matchers, range);
            let names: BTreeSet<&str> =
                entries.iter().flat_map(|it| it.labels.iter()).map(|(name, _)| name).collect();
            let names: Vec<&str> = names.into_iter().take(limit).collect();
            prop_assert_eq!(snapshot.label_names(&matchers, range, limit), names);
            for name in ["a", "b", "late"] {
                let values: BTreeSet<&str> = entries
                    .iter()
                    .map(|it| it.labels.get(name))
                    .filter(|it| !it.is_empty())
                    .collect();
                let values: Vec<&str> = values.into_iter().take(limit).collect();
                prop_assert_eq!(snapshot.label_values(name, &matchers, range, limit), values);
            }
        }
    }
}
