//! Where sources go on reading: one short text a source, moved by the batches that carry it.
//!
//! As text, in records and in the file `position`:
//! ```text
//! key ⇥ value ⏎ key ⇥ value …
//! ```
//! A journal's cursor alone stands there as it is, without key: as agents wrote it that followed
//! nothing else. An empty value says that a source is gone for good.

use std::collections::BTreeMap;

/// Key of the host's journal.
pub(crate) const JOURNAL_KEY: &str = "journal";

/// Positions by the key of their source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Positions(BTreeMap<String, String>);

impl Positions {
    /// Of the host's journal alone.
    #[cfg(test)]
    pub(crate) fn journal(cursor: impl Into<String>) -> Self {
        let mut positions = Self::default();
        positions.set(JOURNAL_KEY, cursor.into());
        positions
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|it| !it.is_empty())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Neither may hold a tab or a line break, or they are left out.
    pub(crate) fn set(&mut self, key: &str, value: String) {
        if key.contains(['\t', '\n']) || value.contains(['\t', '\n']) {
            return;
        }
        match self.0.get_mut(key) {
            Some(it) => *it = value,
            None => drop(self.0.insert(key.to_owned(), value)),
        }
    }

    /// Says that a source is gone, so that its position need not be kept.
    pub(crate) fn forget(&mut self, key: &str) {
        self.set(key, String::new());
    }

    /// Takes over what `newer` says.
    pub(crate) fn advance(&mut self, newer: &Self) {
        for (key, value) in newer.iter() {
            if value.is_empty() {
                self.0.remove(key);
            } else {
                self.0.insert(key.to_owned(), value.to_owned());
            }
        }
    }

    /// An upper bound of the length of [`Positions::to_text`].
    pub(crate) fn n_bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.len() + 2).sum()
    }

    pub(crate) fn to_text(&self) -> String {
        if self.0.len() == 1
            && let Some(cursor) = self.get(JOURNAL_KEY)
        {
            return cursor.to_owned();
        }
        let mut text = String::with_capacity(self.n_bytes());
        for (key, value) in &self.0 {
            text.push_str(key);
            text.push('\t');
            text.push_str(value);
            text.push('\n');
        }
        text
    }

    pub(crate) fn parse(text: &str) -> Self {
        if !text.is_empty() && !text.contains('\t') {
            return Self(BTreeMap::from([(JOURNAL_KEY.to_owned(), text.to_owned())]));
        }
        let pairs = text.lines().filter_map(|it| it.split_once('\t'));
        Self(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_alone_is_written_as_before() {
        let positions = Positions::journal("s=1;i=2");
        assert_eq!(positions.to_text(), "s=1;i=2");
        assert_eq!(Positions::parse("s=1;i=2"), positions);
        assert_eq!(Positions::parse(""), Positions::default());
    }

    #[test]
    fn several_are_read_back_and_those_of_sources_that_are_gone_go() {
        let mut positions = Positions::journal("s=1;i=2");
        positions.set("file 1:2", "17 a b".to_owned());
        positions.set("bad\tkey", "x".to_owned());
        let text = positions.to_text();
        assert_eq!(text, "file 1:2\t17 a b\njournal\ts=1;i=2\n");
        assert!(text.len() <= positions.n_bytes());
        assert_eq!(Positions::parse(&text), positions);

        let mut newer = Positions::default();
        newer.forget("file 1:2");
        newer.set("file 3:4", "1".to_owned());
        assert_eq!(Positions::parse(&newer.to_text()), newer);
        positions.advance(&newer);
        assert_eq!(positions.to_text(), "file 3:4\t1\njournal\ts=1;i=2\n");
        assert_eq!(newer.get("file 1:2"), None);
    }
}
