//! Whether a line of a template may contain a text, whatever its values are.

use skep_proto::TEMPLATE_VALUES;

use super::{Piece, is_joint};

/// Whether a line of the template may contain the text, whatever its values are: any words, and
/// for the last of all places anything.
pub(super) fn may_contain(pieces: &[Piece], needle: &str) -> bool {
    let needle = needle.as_bytes();
    let can_be_word = |it: &u8| it.is_ascii_alphanumeric() || is_joint(*it);
    // Whether the rest of the needle may lie at the start of the pieces from here on.
    fn continues(pieces: &[Piece], needle: &[u8], can_be_word: &impl Fn(&u8) -> bool) -> bool {
        let Some((first, rest)) = pieces.split_first() else { return needle.is_empty() };
        match first {
            _ if needle.is_empty() => true,
            Piece::Text(text) => {
                let n = text.len().min(needle.len());
                text.as_bytes().get(..n) == needle.get(..n)
                    && continues(rest, needle.get(n..).unwrap_or_default(), can_be_word)
            }
            Piece::Value(at) if at + 1 == TEMPLATE_VALUES => true,
            // A word ends where something comes that cannot be in one.
            Piece::Value(_) => {
                let n = needle.iter().take_while(|it| can_be_word(it)).count();
                (0..=n).any(|n| continues(rest, needle.get(n..).unwrap_or_default(), can_be_word))
            }
        }
    }
    pieces.iter().enumerate().any(|(at, piece)| {
        let rest = pieces.get(at + 1..).unwrap_or_default();
        match piece {
            Piece::Text(text) => (0..text.len()).any(|start| {
                let text = text.as_bytes().get(start..).unwrap_or_default();
                let n = text.len().min(needle.len());
                text.get(..n) == needle.get(..n)
                    && continues(rest, needle.get(n..).unwrap_or_default(), &can_be_word)
            }),
            Piece::Value(at) if at + 1 == TEMPLATE_VALUES => true,
            Piece::Value(_) => {
                let n = needle.iter().take_while(|it| can_be_word(it)).count();
                (0..=n).any(|n| continues(rest, needle.get(n..).unwrap_or_default(), &can_be_word))
            }
        }
    })
}
