//! What lines of one kind share is cut into pieces once: a line brings its values only.
//!
//! A line's pieces are those of its template and those of its values, since a value ends where a
//! run of letters and digits does. Where it does not (who split the line may have had other
//! rules), lines of the template are put together and cut whole.

use std::{hash::BuildHasher, ops::Range};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{
    build::Collected,
    short::{self, SHORT_LEN_MAX},
    text::{Pieces, Text},
};
use skep_proto::join_template;

use crate::lines::N_VALUES;

/// Templates that are remembered, and their bytes. A part with more has words where others have
/// values, and is no slower for forgetting them.
const KINDS_MAX: usize = 4_096;
const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// The templates of a part, by their text.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    table: HashTable<usize>,
    kinds: Vec<Kind>,
    templates: String,
    hasher: DefaultHashBuilder,
    /// The values of a line, side by side.
    values: String,
}

/// What is known of a template.
#[derive(Debug, Default)]
struct Kind {
    template: Range<usize>,
    /// Places in the dictionary.
    words: Vec<usize>,
    numbers: Vec<u64>,
    grams: Vec<u64>,
    /// How many dashes stand before each value; `None` where values are parts of longer runs.
    n_dashes: Option<Vec<usize>>,
    /// The page whose lines brought it last.
    page_idx: Option<usize>,
}

/// Gives a template's pieces to the page, and takes them down.
struct Recorder<'a> {
    page: &'a mut Collected,
    kind: Kind,
    /// A word was left out.
    lacks_word: bool,
}

impl Pieces for Recorder<'_> {
    fn word(&mut self, word: &[u8], _: u64) {
        match self.page.add_word(word) {
            Some(place) => self.kind.words.push(place),
            None => self.lacks_word = true,
        }
    }

    fn number(&mut self, hash: u64) {
        self.page.number(hash);
        self.kind.numbers.push(hash);
    }

    fn gram(&mut self, hash: u64) {
        self.page.gram(hash);
        self.kind.grams.push(hash);
    }
}

impl Kinds {
    /// Gives the pieces of a line to the page. `text` is overwritten.
    pub(super) fn push<'a>(
        &mut self,
        template: &str,
        values: impl Fn(usize) -> &'a str,
        text: &mut Text,
        page: &mut Collected,
    ) {
        let place = self.seen(template, text, page);
        let Some(kind) = self.kinds.get(place) else { return };
        self.values.clear();
        match &kind.n_dashes {
            None => {
                // What cannot be put together cannot be read either.
                join_template(template, values, &mut self.values);
            }
            Some(slots) => {
                for (i, &n_dashes) in slots.iter().enumerate().take(N_VALUES) {
                    let value = values(i);
                    if n_dashes == 0 && value.len() <= SHORT_LEN_MAX && value.is_ascii() {
                        // One letter or digit is no piece.
                        if value.len() > 1 {
                            short::visit(value.as_bytes(), text.secret(), page);
                        }
                    } else {
                        self.values.push(' ');
                        self.values.extend(std::iter::repeat_n('-', n_dashes));
                        self.values.push_str(value);
                    }
                }
            }
        }
        if !self.values.is_empty() {
            text.set(&self.values);
            text.visit(page);
        }
    }

    /// The place of the template, whose pieces the page has then.
    fn seen(&mut self, template: &str, text: &mut Text, page: &mut Collected) -> usize {
        let hash = self.hasher.hash_one(template);
        let Self { table, kinds, templates, .. } = self;
        let text_of = |it: &Kind| templates.get(it.template.clone()).unwrap_or_default();
        let found = table.find(hash, |it| kinds.get(*it).map(text_of) == Some(template)).copied();
        if let Some(place) = found {
            if let Some(kind) = kinds.get_mut(place) {
                kind.show(page);
            }
            return place;
        }
        self.learn(hash, template, text, page)
    }

    fn learn(&mut self, hash: u64, template: &str, text: &mut Text, page: &mut Collected) -> usize {
        if self.kinds.len() >= KINDS_MAX || self.templates.len() >= TEMPLATE_BYTES_MAX {
            self.table.clear();
            self.kinds.clear();
            self.templates.clear();
        }
        text.set(template);
        let n_dashes = text.dashes_before_values();
        let kind = Kind { n_dashes, ..Kind::default() };
        let mut recorder = Recorder { page, kind, lacks_word: false };
        // Of lines that are cut whole the template has no piece of its own.
        if recorder.kind.n_dashes.is_some() {
            text.visit(&mut recorder);
        }
        let Recorder { mut kind, lacks_word, page } = recorder;
        let start = self.templates.len();
        // What a full page left out the next one may have room for: it is cut again there.
        if !lacks_word {
            self.templates.push_str(template);
            kind.page_idx = Some(page.page_idx());
        }
        kind.template = start..self.templates.len();
        let place = self.kinds.len();
        self.kinds.push(kind);
        if !lacks_word {
            let Self { table, kinds, templates, hasher, .. } = self;
            let hash_of = |it: &usize| {
                let range = kinds.get(*it).map(|it| it.template.clone()).unwrap_or_default();
                hasher.hash_one(templates.get(range).unwrap_or_default())
            };
            table.insert_unique(hash, place, hash_of);
        }
        place
    }
}

impl Kind {
    /// Gives its pieces to a page that has not had them yet.
    fn show(&mut self, page: &mut Collected) {
        if self.page_idx.replace(page.page_idx()) == Some(page.page_idx()) {
            return;
        }
        self.words.iter().for_each(|it| page.add_known(*it));
        self.numbers.iter().for_each(|it| page.number(*it));
        self.grams.iter().for_each(|it| page.gram(*it));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{lines::split_line, words::tests::line};

    /// A line with values at these places, as a template that another splitter might have made.
    fn cut(line: &str, cuts: &[(usize, usize)]) -> (String, [String; N_VALUES]) {
        let chars: Vec<char> = line.chars().collect();
        let (mut template, mut values) = (String::new(), [const { String::new() }; N_VALUES]);
        let mut at = 0;
        for (value, (skip, len)) in values.iter_mut().zip(cuts) {
            let start = (at + skip).min(chars.len());
            let end = (start + len).min(chars.len());
            let literal: String = chars[at..start].iter().collect();
            template += &literal.replace('{', "{{").replace('}', "}}");
            template += "{}";
            *value = chars[start..end].iter().collect();
            at = end;
        }
        let literal: String = chars[at..].iter().collect();
        template += &literal.replace('{', "{{").replace('}', "}}");
        (template, values)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn the_pieces_of_lines_taken_apart_are_those_of_the_lines(
            lines in prop::collection::vec(line(), 1..8),
            cuts in prop::collection::vec((0..12_usize, 0..12_usize), 0..N_VALUES),
        ) {
            let (mut kinds, mut text) = (Kinds::default(), Text::default());
            let mut page = Collected::new(DefaultHashBuilder::default());
            let mut whole = Collected::new(DefaultHashBuilder::default());
            // Twice each, on pages of their own: what is known of a template is used, too.
            for line in lines.iter().chain(&lines) {
                for (template, values) in [split_line(line), cut(line, &cuts)] {
                    kinds.push(&template, |it| &values[it], &mut text, &mut page);
                    Text::new(line).visit(&mut whole);
                    prop_assert_eq!(page.pieces(), whole.pieces(), "{:?} {:?}", line, template);
                    page.next_page();
                    whole.next_page();
                }
            }
        }
    }

    #[test]
    fn a_page_has_the_words_of_a_template_that_earlier_pages_had_no_room_for() {
        let mut page = Collected::new(DefaultHashBuilder::default());
        let (mut kinds, mut text) = (Kinds::default(), Text::default());
        let word = |i: u32| -> String {
            let letter = |shift: u32| char::from(b'a' + u8::try_from((i >> shift) & 15).unwrap());
            [0, 4, 8, 12].map(letter).iter().collect()
        };
        let noise: Vec<String> = (0..5_000).map(word).collect();
        let mut push = |line: &str, page: &mut Collected| {
            kinds.push(line, |_| "", &mut text, page);
        };
        push(&noise.join(" "), &mut page);
        push("zebra", &mut page);
        assert!(!page.pieces()[0].contains(&b"zebra"[..]));
        page.next_page();
        push("zebra", &mut page);
        assert!(page.pieces()[0].contains(&b"zebra"[..]));
    }
}
