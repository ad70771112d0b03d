//! What a line needs to match a regex: the texts that every match has.

use regex_syntax::{
    ParserBuilder,
    hir::{Class, Hir, HirKind},
};

use super::need::Need;

/// Larger expressions are not looked into.
const PATTERN_BYTES_MAX: usize = 10_000;
/// Alternatives beyond this are not worth a lookup each.
const ALTERNATIVES_MAX: usize = 64;

pub(super) fn need(pattern: &str, ignores_case: bool) -> Need {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Need::ANYTHING;
    }
    // Multi-line or not only moves where a line ends, which is no text.
    match ParserBuilder::new().case_insensitive(ignores_case).build().parse(pattern) {
        Ok(hir) => need_of(&hir),
        Err(_) => Need::ANYTHING,
    }
}

fn need_of(hir: &Hir) -> Need {
    let mut walk = Walk::default();
    walk.visit(hir);
    walk.end_text();
    Need::all(walk.needs)
}

/// Goes along an expression; what stands side by side in it becomes one text.
#[derive(Default)]
struct Walk {
    text: String,
    needs: Vec<Need>,
}

impl Walk {
    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.needs.push(Need::contains(&std::mem::take(&mut self.text)));
        }
    }

    fn visit(&mut self, hir: &Hir) {
        match hir.kind() {
            // They match no text of their own.
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => self.text.push_str(text),
                Err(_) => self.end_text(),
            },
            HirKind::Class(class) => match one_letter(class) {
                Some(letter) => self.text.push(letter),
                None => self.end_text(),
            },
            HirKind::Capture(capture) => self.visit(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|it| self.visit(it)),
            HirKind::Repetition(repetition) => {
                self.end_text();
                if repetition.min > 0 {
                    self.visit(&repetition.sub);
                    self.end_text();
                }
            }
            HirKind::Alternation(branches) => {
                self.end_text();
                if branches.len() <= ALTERNATIVES_MAX {
                    self.needs.push(Need::any(branches.iter().map(need_of)));
                }
            }
        }
    }
}

/// The lower case that all letters of a class share, as the index folds them.
fn one_letter(class: &Class) -> Option<char> {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    };
    let mut letters = Vec::new();
    match class {
        Class::Unicode(class) => {
            for range in class.ranges() {
                if range.start() != range.end() {
                    return None;
                }
                letters.push(fold(range.start()));
            }
        }
        Class::Bytes(class) => {
            for range in class.ranges() {
                if range.start() != range.end() || !range.start().is_ascii() {
                    return None;
                }
                letters.push(fold(char::from(range.start())));
            }
        }
    }
    let first = letters.pop()?;
    letters.iter().all(|it| *it == first).then_some(first)
}
