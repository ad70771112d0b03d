//! A label set: sorted by name, each name once, no empty value.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use crate::{escape::write_quoted, names::METRIC_NAME};

/// The identity of a series or a stream. Sorted and unique by construction; a label with an empty
/// value is the same as no label, as in Prometheus, and so never kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("label name \"{0}\" is not unique")]
    Duplicate(String),
    #[error("label name is empty")]
    EmptyName,
}

impl Labels {
    /// Sorts the pairs and drops empty values.
    ///
    /// # Errors
    /// A name that is empty or occurs twice.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, LabelError>
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut pairs: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs.sort_unstable();
        if let Some([(name, _), _]) =
            pairs.array_windows::<2>().find(|[(left, _), (right, _)]| left == right)
        {
            return Err(LabelError::Duplicate(name.to_string()));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        if pairs.iter().any(|(name, _)| name.is_empty()) {
            return Err(LabelError::EmptyName);
        }
        Ok(Self(pairs.into_boxed_slice()))
    }

    /// The value of a label; the empty string where it is absent, as matchers see it.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .binary_search_by(|(it, _)| it.as_ref().cmp(name))
            .ok()
            .and_then(|i| self.0.get(i))
            .map_or("", |(_, value)| value)
    }

    pub fn contains(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// The value of `__name__`, empty where there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same set with only these labels.
    #[must_use]
    pub fn keep(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// The same set without the metric name, as most functions and operators return it.
    #[must_use]
    pub fn without_name(&self) -> Self {
        self.keep(|name| name != METRIC_NAME)
    }

    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.0.to_vec() }
    }

    /// A 64-bit hash that is the same in every process: see [`hash_sorted_pairs`].
    pub fn stable_hash(&self) -> u64 {
        hash_sorted_pairs(self.iter())
    }
}

/// xxh3 over `name 0xff value 0xff …`, in the order given (label sets: sorted by name). Receivers
/// hash a request's raw label bytes with it, before anything is copied.
pub fn hash_sorted_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut hasher = Xxh3::new();
    for (name, value) in pairs {
        hasher.update(name.as_bytes());
        hasher.update(&[0xff]);
        hasher.update(value.as_bytes());
        hasher.update(&[0xff]);
    }
    hasher.digest()
}

/// `up{a="1", b="2"}`; names that need quotes as Prometheus 3 prints them: `{"my.metric", "a.b"="1"}`.
impl fmt::Display for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric_name = self.metric_name();
        let mut separator = "";
        if is_metric_name(metric_name) {
            out.write_str(metric_name)?;
            if self.len() == 1 {
                return Ok(());
            }
            out.write_str("{")?;
        } else {
            out.write_str("{")?;
            if !metric_name.is_empty() {
                write_quoted(out, metric_name)?;
                separator = ", ";
            }
        }
        for (name, value) in self.iter().filter(|(name, _)| *name != METRIC_NAME) {
            out.write_str(separator)?;
            separator = ", ";
            if is_label_name(name) {
                out.write_str(name)?;
            } else {
                write_quoted(out, name)?;
            }
            out.write_str("=")?;
            write_quoted(out, value)?;
        }
        out.write_str("}")
    }
}

/// Changes a label set; [`LabelsBuilder::build`] makes it one again.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Sets or replaces one label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.iter_mut().find(|(it, _)| it.as_ref() == name) {
            Some((_, it)) => *it = value.into(),
            None => self.pairs.push((name.into(), value.into())),
        }
        self
    }

    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.pairs.retain(|(it, _)| it.as_ref() != name);
        self
    }

    /// Keeps the labels whose names these are.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.pairs.retain(|(name, _)| keep(name));
    }

    /// In no order; those that are set to nothing are not there.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        pairs.filter(|(_, value)| !value.is_empty())
    }

    pub fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(it, _)| it.as_ref() == name).map_or("", |(_, value)| value)
    }

    pub fn build(mut self) -> Labels {
        self.pairs.sort_unstable();
        self.pairs.retain(|(_, value)| !value.is_empty());
        Labels(self.pairs.into_boxed_slice())
    }
}

/// Whether a label name needs no quotes: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|it| it == b'_' || it.is_ascii_alphabetic())
        && bytes.all(|it| it == b'_' || it.is_ascii_alphanumeric())
}

/// Whether a metric name needs no quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_metric_name(name: &str) -> bool {
    let is_letter = |it: u8| it == b'_' || it == b':' || it.is_ascii_alphabetic();
    name.bytes().next().is_some_and(is_letter)
        && name.bytes().all(|it| is_letter(it) || it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn order_of_pairs_does_not_matter() {
        let one = labels(&[("b", "2"), ("a", "1")]);
        assert_eq!(one, labels(&[("a", "1"), ("b", "2"), ("gone", "")]));
        assert_eq!(one.get("b"), "2");
        assert_eq!(one.get("c"), "");
    }

    #[test]
    fn a_name_that_occurs_twice_is_an_error() {
        assert_eq!(
            Labels::from_pairs([("a", "1"), ("a", "2")]),
            Err(LabelError::Duplicate("a".to_owned()))
        );
    }

    #[test]
    fn prints_as_a_selector() {
        assert_eq!(
            labels(&[(METRIC_NAME, "up"), ("job", "a\"b")]).to_string(),
            r#"up{job="a\"b"}"#
        );
        assert_eq!(labels(&[(METRIC_NAME, "up")]).to_string(), "up");
        assert_eq!(labels(&[]).to_string(), "{}");
    }

    #[test]
    fn names_that_are_no_identifiers_are_quoted() {
        for (pairs, expected) in [
            (&[("a.b", "x"), ("c", "y")][..], r#"{"a.b"="x", c="y"}"#),
            (&[("1", "x"), ("a:b", "y"), ("\u{e9}\"", "z")], r#"{"1"="x", "a:b"="y", "é\""="z"}"#),
            (&[(METRIC_NAME, "job:up"), ("a.b", "x")], r#"job:up{"a.b"="x"}"#),
            (&[(METRIC_NAME, "my.metric"), ("a", "b")], r#"{"my.metric", a="b"}"#),
            (&[(METRIC_NAME, "my\nmetric")], r#"{"my\nmetric"}"#),
        ] {
            assert_eq!(labels(pairs).to_string(), expected);
        }
    }

    #[test]
    fn the_hash_tells_names_from_values() {
        assert_ne!(labels(&[("a", "bc")]).stable_hash(), labels(&[("ab", "c")]).stable_hash());
    }
}
