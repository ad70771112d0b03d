//! Finding the label sets that satisfy all matchers.

use std::{collections::HashMap, sync::Arc};

use skep_proto::{MatchOp, Matcher};

use super::{Entry, Inner};

impl Inner {
    /// Begins with the shortest list that a matcher allows and checks the others on its members.
    pub(super) fn select(&self, matchers: &[Matcher], n_entries: u32) -> Vec<Arc<Entry>> {
        let mut shortest: Option<(usize, Vec<u32>)> = None;
        for (at, matcher) in matchers.iter().enumerate() {
            if matcher.matches_empty() {
                continue;
            }
            let bound = shortest.as_ref().map_or(usize::MAX, |(_, it)| it.len());
            if let Some(ordinals) = self.postings_below(matcher, bound) {
                shortest = Some((at, ordinals));
            }
        }
        let mut entries: Vec<Arc<Entry>> = match &shortest {
            Some((_, ordinals)) => ordinals
                .iter()
                .filter(|it| **it < n_entries)
                .filter_map(|it| self.entries.get(*it as usize)?.as_ref())
                .map(Arc::clone)
                .collect(),
            None => {
                self.entries.iter().take(n_entries as usize).flatten().map(Arc::clone).collect()
            }
        };
        for (at, matcher) in matchers.iter().enumerate() {
            if shortest.as_ref().is_none_or(|(it, _)| *it != at) {
                retain(&mut entries, matcher);
            }
        }
        entries
    }

    /// The ordinals that satisfy a matcher that an absent label does not, if they are fewer than
    /// `bound`.
    fn postings_below(&self, matcher: &Matcher, bound: usize) -> Option<Vec<u32>> {
        let Some(values) = self.postings.get(matcher.name()) else { return Some(Vec::new()) };
        if matcher.op() == MatchOp::Equal {
            let ordinals = values.get(matcher.value()).map(Vec::as_slice).unwrap_or_default();
            return (ordinals.len() < bound).then(|| ordinals.to_vec());
        }
        // Looking at more values than there are label sets to check would cost more than it saves.
        if values.len() >= bound {
            return None;
        }
        let mut union = Vec::new();
        for (value, ordinals) in values {
            if matcher.matches(value) {
                union.extend(ordinals);
                if union.len() >= bound {
                    return None;
                }
            }
        }
        Some(union)
    }
}

/// Keeps what matches, running a pattern once for each value.
fn retain(entries: &mut Vec<Arc<Entry>>, matcher: &Matcher) {
    match matcher.op() {
        MatchOp::Equal | MatchOp::NotEqual => {
            entries.retain(|it| matcher.matches_labels(&it.labels));
        }
        MatchOp::Regex | MatchOp::NotRegex => {
            let mut known: HashMap<String, bool> = HashMap::new();
            entries.retain(|it| {
                let value = it.labels.get(matcher.name());
                known.get(value).copied().unwrap_or_else(|| {
                    let is_match = matcher.matches(value);
                    known.insert(value.to_owned(), is_match);
                    is_match
                })
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_proto::{Labels, TimeRange};

    use super::{
        super::{IdOrder, Index, IndexSnapshot},
        *,
    };

    fn matcher() -> impl Strategy<Value = Matcher> {
        let op = prop::sample::select(vec![
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ]);
        let value = prop::sample::select(vec!["", "1", "2", "1|2", ".*", ".+", "[13]"]);
        (prop::sample::select(vec!["a", "b", "c", "z"]), op, value)
            .prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap())
    }

    proptest! {
        #[test]
        fn selects_what_checking_every_set_would(
            sets in prop::collection::vec(prop::collection::btree_map("[abc]", "[123]", 0..4), 0..30),
            matchers in prop::collection::vec(matcher(), 0..4),
        ) {
            let index = Arc::new(Index::new(IdOrder::BySource));
            for set in &sets {
                let labels = Labels::from_pairs(set.clone()).unwrap();
                let entry = index.resolve(labels.stable_hash(), &labels.iter()).unwrap();
                entry.mark_day(3);
            }
            let selected: Vec<String> = IndexSnapshot::new(&index)
                .select_entries(&matchers, TimeRange::ALL)
                .iter().map(|it| it.labels.to_string()).collect();
            let mut expected: Vec<String> = sets.iter()
                .map(|it| Labels::from_pairs(it.clone()).unwrap())
                .filter(|it| matchers.iter().all(|matcher| matcher.matches_labels(it)))
                .map(|it| it.to_string()).collect();
            expected.sort();
            expected.dedup();
            let mut sorted = selected;
            sorted.sort();
            prop_assert_eq!(sorted, expected);
        }
    }
}
