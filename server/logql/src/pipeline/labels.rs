//! The labels of one line: the stream's, the line's metadata, and what stages took out of it.

use std::{collections::HashMap, ops::Range};

use skep_proto::{
    Labels,
    go_template::Fields,
    names::{LOG_ERROR, LOG_ERROR_DETAILS},
};

use super::Hints;

/// Appended to a label taken from a line where the stream has one of that name.
pub(crate) const DUPLICATE_SUFFIX: &str = "_extracted";
/// Marks a line whose error was asked for, so that a metric query does not fail on it.
pub(super) const PRESERVE_ERROR: &str = "__preserve_error__";

/// Beyond so many labels one is found by its hash: a line may have a hundred thousand fields.
const FEW: usize = 64;

/// Where a label came from. A later one hides an earlier one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    Stream,
    Metadata,
    Parsed,
}

/// A reusable label set: its texts lie in one buffer, so that a line costs no allocation.
#[derive(Debug, Default, Clone)]
pub struct LineLabels {
    text: String,
    slots: Vec<Slot>,
    /// The last slot of each name; kept only while there are more than [`FEW`].
    by_name: HashMap<Box<str>, usize>,
    /// How much of `text` and `slots` the stream's labels are; a reset goes back to there.
    base: (usize, usize),
    error: String,
    error_details: String,
    has_error: bool,
    hints: Hints,
    n_required: usize,
    scratch: Scratch,
    /// The last name that got a suffix; kept for its memory.
    suffixed: String,
}

/// Texts that a parser builds names in, kept so that a line costs no allocation.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scratch {
    pub(crate) name: String,
    pub(crate) prefix: String,
}

#[derive(Debug, Clone)]
struct Slot {
    name: Range<usize>,
    value: Range<usize>,
    category: Category,
    is_live: bool,
}

impl LineLabels {
    pub fn new(hints: Hints) -> Self {
        Self { hints, ..Self::default() }
    }

    /// The labels of the same stream, for who wants to know all that a line has.
    pub(crate) fn without_hints(&self) -> Self {
        let mut all = Self::new(Hints::default());
        for slot in self.slots.iter().take(self.base.1) {
            all.push(Category::Stream, self.name_of(slot), self.value_of(slot));
        }
        all.base = (all.text.len(), all.slots.len());
        all
    }

    /// Starts a stream: its labels are the base of all following lines.
    pub fn set_stream(&mut self, stream: &Labels) {
        self.text.clear();
        self.slots.clear();
        self.by_name.clear();
        for (name, value) in stream.iter() {
            self.push(Category::Stream, name, value);
        }
        self.base = (self.text.len(), self.slots.len());
        self.reset();
    }

    /// Starts a line of the current stream.
    pub fn reset(&mut self) {
        self.text.truncate(self.base.0);
        self.slots.truncate(self.base.1);
        self.by_name.clear();
        for slot in &mut self.slots {
            slot.is_live = true;
        }
        self.has_error = false;
        self.error.clear();
        self.error_details.clear();
        self.n_required = 0;
    }

    /// Adds structured metadata; a name the stream has gets a suffix.
    pub fn add_metadata<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            match name {
                LOG_ERROR => self.set_error(value),
                LOG_ERROR_DETAILS => self.set_error_details(value),
                _ if self.base_has(name) => {
                    self.with_suffix(name, |it, name| it.set(Category::Metadata, name, value));
                }
                _ => self.set(Category::Metadata, name, value),
            }
        }
    }

    /// Sets a label a parser found, under a suffixed name where the stream has it. Says whether
    /// the parser should go on.
    pub(crate) fn extract(&mut self, name: &str, value: &str) -> bool {
        if self.base_has(name) {
            return self.with_suffix(name, |it, name| it.extract_as(name, value));
        }
        self.extract_as(name, value)
    }

    /// The same, but the last value of a line counts.
    pub(crate) fn extract_last(&mut self, name: &str, value: &str) {
        if self.base_has(name) {
            self.with_suffix(name, |it, name| it.set(Category::Parsed, name, value));
        } else {
            self.set(Category::Parsed, name, value);
        }
    }

    /// Calls `then` with the name a label gets where the stream has one of its own.
    fn with_suffix<T>(&mut self, name: &str, then: impl FnOnce(&mut Self, &str) -> T) -> T {
        let mut suffixed = std::mem::take(&mut self.suffixed);
        suffixed.clear();
        suffixed.push_str(name);
        suffixed.push_str(DUPLICATE_SUFFIX);
        let result = then(self, &suffixed);
        self.suffixed = suffixed;
        result
    }

    fn extract_as(&mut self, name: &str, value: &str) -> bool {
        if !self.hints.wants(name) {
            return true;
        }
        // What a line says first counts.
        if self.find(name).is_some_and(|it| it.category == Category::Parsed) {
            return true;
        }
        self.set(Category::Parsed, name, value);
        if self.hints.required().is_some() {
            self.n_required += 1;
        }
        !self.hints.is_done(self.n_required)
    }

    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Empty texts to build names in; [`Self::keep_scratch`] takes them back.
    pub(crate) fn take_scratch(&mut self) -> Scratch {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.name.clear();
        scratch.prefix.clear();
        scratch
    }

    pub(crate) fn keep_scratch(&mut self, scratch: Scratch) {
        self.scratch = scratch;
    }

    /// Whether the stream has a label of this name (even if a stage dropped it).
    pub(crate) fn base_has(&self, name: &str) -> bool {
        self.slots.iter().take(self.base.1).any(|it| self.name_of(it) == name)
    }

    /// Whether a parser already found this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of a label, [`LOG_ERROR`] and [`LOG_ERROR_DETAILS`] included.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            LOG_ERROR => self.has_error.then_some(self.error.as_str()),
            LOG_ERROR_DETAILS => {
                (!self.error_details.is_empty()).then_some(self.error_details.as_str())
            }
            _ => self.find(name).map(|it| self.value_of(it)),
        }
    }

    /// A label with its category.
    pub(crate) fn find_pair(&self, name: &str) -> Option<(Category, &str, &str)> {
        self.find(name).map(|it| (it.category, self.name_of(it), self.value_of(it)))
    }

    pub(crate) fn set(&mut self, category: Category, name: &str, value: &str) {
        if let Some(found) = self.position(name)
            && let Some(slot) = self.slots.get_mut(found)
        {
            if slot.category > category {
                return;
            }
            slot.is_live = false;
        }
        self.push(category, name, value);
    }

    fn push(&mut self, category: Category, name: &str, value: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(value);
        let end = self.text.len();
        self.slots.push(Slot { name: start..middle, value: middle..end, category, is_live: true });
        if self.slots.len() > FEW {
            self.index();
        }
    }

    /// Adds to [`Self::by_name`] the slots that it lacks: all of them at first, then each new one.
    fn index(&mut self) {
        let from = if self.by_name.is_empty() { 0 } else { self.slots.len() - 1 };
        for (at, slot) in self.slots.iter().enumerate().skip(from) {
            let name = self.text.get(slot.name.clone()).unwrap_or_default();
            self.by_name.insert(name.into(), at);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            LOG_ERROR => {
                self.has_error = false;
                self.error.clear();
            }
            LOG_ERROR_DETAILS => self.error_details.clear(),
            _ => {
                for slot in &mut self.slots {
                    if slot.is_live && self.text.get(slot.name.clone()) == Some(name) {
                        slot.is_live = false;
                    }
                }
            }
        }
    }

    /// Keeps the labels `keep` says so of; errors stay.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        for slot in &mut self.slots {
            let name = self.text.get(slot.name.clone()).unwrap_or_default();
            let value = self.text.get(slot.value.clone()).unwrap_or_default();
            slot.is_live = slot.is_live && keep(name, value);
        }
    }

    pub fn has_error(&self) -> bool {
        self.has_error
    }

    /// Whether a metric query has to fail for this line.
    pub fn has_fatal_error(&self) -> bool {
        self.has_error && self.get(PRESERVE_ERROR).is_none()
    }

    pub(crate) fn set_error(&mut self, kind: &str) {
        self.has_error = true;
        self.error.clear();
        self.error.push_str(kind);
    }

    pub(crate) fn set_error_details(&mut self, details: &str) {
        self.error_details.clear();
        self.error_details.push_str(details);
    }

    /// A parser could not read the line.
    pub(crate) fn parser_error(&mut self, kind: &str, details: Option<&str>) {
        self.set_error(kind);
        if self.hints.preserves_error() {
            self.set(Category::Parsed, PRESERVE_ERROR, "true");
        }
        if let Some(details) = details {
            self.set_error_details(details);
        }
    }

    /// Whether the labels are the stream's, as they were.
    pub fn is_base(&self) -> bool {
        !self.has_error
            && self.error_details.is_empty()
            && self.slots.len() == self.base.1
            && self.slots.iter().all(|it| it.is_live)
    }

    /// All labels, errors included, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Category, &str, &str)> {
        let error = self.has_error.then_some((Category::Parsed, LOG_ERROR, self.error.as_str()));
        let details = (!self.error_details.is_empty()).then_some((
            Category::Parsed,
            LOG_ERROR_DETAILS,
            self.error_details.as_str(),
        ));
        self.slots
            .iter()
            .filter(|it| it.is_live)
            .map(|it| (it.category, self.name_of(it), self.value_of(it)))
            .chain(error)
            .chain(details)
    }

    fn find(&self, name: &str) -> Option<&Slot> {
        self.position(name).and_then(|it| self.slots.get(it))
    }

    /// A live slot is the last one of its name.
    fn position(&self, name: &str) -> Option<usize> {
        if self.slots.len() <= FEW {
            return self.slots.iter().position(|it| it.is_live && self.name_of(it) == name);
        }
        let at = *self.by_name.get(name)?;
        self.slots.get(at).is_some_and(|it| it.is_live).then_some(at)
    }

    fn name_of(&self, slot: &Slot) -> &str {
        self.text.get(slot.name.clone()).unwrap_or_default()
    }

    fn value_of(&self, slot: &Slot) -> &str {
        self.text.get(slot.value.clone()).unwrap_or_default()
    }
}

/// A label name out of a line's key: blanks around it are cut, what no name may hold becomes `_`.
/// With `is_first` a leading digit gets a `_` before it.
pub(crate) fn sanitize_into(out: &mut String, key: &str, is_first: bool) {
    let key = key.trim();
    if is_first && key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}

impl Fields for LineLabels {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name)
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> =
            self.iter().map(|(_, name, value)| (name, value)).collect();
        pairs.sort_unstable();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> LineLabels {
        let mut labels = LineLabels::default();
        labels.set_stream(&Labels::from_pairs([("app", "web"), ("level", "info")]).unwrap());
        labels
    }

    fn all(labels: &LineLabels) -> Vec<(Category, &str, &str)> {
        let mut all: Vec<_> = labels.iter().collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_parsed_name_of_the_stream_gets_a_suffix_and_hides_metadata() {
        let mut labels = base();
        labels.add_metadata([("user", "1"), ("app", "meta")]);
        labels.extract("user", "2");
        labels.extract("level", "warn");
        assert_eq!(
            all(&labels),
            [
                (Category::Stream, "app", "web"),
                (Category::Stream, "level", "info"),
                (Category::Metadata, "app_extracted", "meta"),
                (Category::Parsed, "level_extracted", "warn"),
                (Category::Parsed, "user", "2"),
            ]
        );
    }

    #[test]
    fn a_reset_brings_the_stream_back() {
        let mut labels = base();
        labels.remove("app");
        labels.extract("x", "1");
        labels.set_error("E");
        assert!(!labels.is_base());
        labels.reset();
        assert!(labels.is_base());
        assert_eq!(labels.get("app"), Some("web"));
        assert_eq!(labels.get(LOG_ERROR), None);
    }

    #[test]
    fn many_labels_are_found_as_few_are() {
        let mut labels = base();
        for i in 0..3 * FEW {
            assert!(!labels.has(&format!("k{i}")));
            labels.extract(&format!("k{i}"), &i.to_string());
            labels.extract(&format!("k{}", i / 2), "hidden by the first one");
            assert_eq!(labels.get(&format!("k{}", i / 2)), Some((i / 2).to_string().as_str()));
        }
        labels.remove("k7");
        assert_eq!(labels.get("k7"), None);
        labels.set(Category::Parsed, "k7", "again");
        assert_eq!(labels.get("k7"), Some("again"));
        assert_eq!((labels.get("app"), labels.get("k170")), (Some("web"), Some("170")));
        assert_eq!(labels.iter().count(), 2 + 3 * FEW);
        labels.reset();
        assert!(labels.is_base());
        assert!(!labels.has("k7"));
        labels.extract("k7", "x");
        assert_eq!(labels.iter().count(), 3);
    }

    #[test]
    fn keys_become_label_names() {
        for (key, name) in [("a.b-c", "a_b_c"), ("1x", "_1x"), (" ü ", "_")] {
            let mut out = String::new();
            sanitize_into(&mut out, key, true);
            assert_eq!(out, name);
        }
    }
}
