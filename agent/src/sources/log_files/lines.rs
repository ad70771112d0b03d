//! Bytes of a file to lines: unfinished ones wait, long ones are cut, encodings are decoded. Pure.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// A line with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) begins_at: u64,
    /// Behind its line break.
    pub(super) ends_at: u64,
    pub(super) text: String,
    /// It was longer than lines may be.
    pub(super) is_cut: bool,
}

/// The part of a file behind the last whole line.
#[derive(Debug)]
pub(super) struct Lines {
    encoding: &'static Encoding,
    n_bytes_max: usize,
    /// Read and not handed out; the first `n_done` bytes are.
    buffer: Vec<u8>,
    n_done: usize,
    /// Of what is not handed out, how far there is no line break.
    n_searched: usize,
    /// The beginning of a line that is longer than lines may be.
    head: Option<Vec<u8>>,
    /// Where in the file the unfinished line begins.
    begins_at: u64,
    /// Where in the file what is in `buffer` behind `n_done` begins: later, behind a `head`.
    buffer_at: u64,
}

impl Lines {
    pub(super) fn new(encoding: &'static Encoding, n_bytes_max: usize, begins_at: u64) -> Self {
        Self {
            encoding,
            n_bytes_max,
            buffer: Vec::new(),
            n_done: 0,
            n_searched: 0,
            head: None,
            begins_at,
            buffer_at: begins_at,
        }
    }

    /// Begins anew at another place.
    pub(super) fn reset(&mut self, begins_at: u64) {
        *self = Self::new(self.encoding, self.n_bytes_max, begins_at);
    }

    #[cfg(test)]
    fn begins_at(&self) -> u64 {
        self.begins_at
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.n_done);
        self.n_done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Option<Line> {
        let rest = self.buffer.get(self.n_done..).unwrap_or_default();
        let Some((n_line, n_break)) = self.line_break(rest) else {
            self.n_searched = rest.len().saturating_sub(1);
            self.keep_head();
            return None;
        };
        let bytes = rest.get(..n_line).unwrap_or_default().to_vec();
        Some(self.line(&bytes, n_line + n_break))
    }

    /// What stands behind the last line break, as a line: no more comes.
    pub(super) fn rest(&mut self) -> Option<Line> {
        let bytes = self.buffer.get(self.n_done..).unwrap_or_default().to_vec();
        (!bytes.is_empty() || self.head.is_some()).then(|| self.line(&bytes, bytes.len()))
    }

    fn line(&mut self, tail: &[u8], n_taken: usize) -> Line {
        let mut bytes = self.head.take().unwrap_or_default();
        let n_free = self.n_bytes_max.saturating_sub(bytes.len());
        let is_cut = tail.len() > n_free || bytes.len() >= self.n_bytes_max;
        bytes.extend_from_slice(tail.get(..n_free.min(tail.len())).unwrap_or_default());
        let ends_at = self.buffer_at + u64::try_from(n_taken).unwrap_or(u64::MAX);
        let line =
            Line { begins_at: self.begins_at, ends_at, text: self.text(&bytes, is_cut), is_cut };
        self.n_done += n_taken;
        self.n_searched = 0;
        self.begins_at = ends_at;
        self.buffer_at = ends_at;
        line
    }

    /// Of a line that is too long only the beginning stays in memory.
    fn keep_head(&mut self) {
        let rest = self.buffer.get(self.n_done..).unwrap_or_default();
        if rest.len() <= self.n_bytes_max && self.head.is_none() {
            return;
        }
        // Whole units of UTF-16, the last of which may be the half of a line break.
        let n_kept = if rest.len() % 2 == 0 { 0 } else { 1 };
        let n_gone = rest.len() - n_kept;
        if self.head.is_none() {
            self.head = Some(rest.get(..self.n_bytes_max.min(n_gone)).unwrap_or_default().to_vec());
        }
        self.n_done += n_gone;
        self.n_searched = 0;
        self.buffer_at += u64::try_from(n_gone).unwrap_or(u64::MAX);
    }

    /// How long the first line is, and its break.
    fn line_break(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let searched = self.n_searched.min(bytes.len());
        if self.encoding == UTF_16LE || self.encoding == UTF_16BE {
            let newline: [u8; 2] = if self.encoding == UTF_16LE { [b'\n', 0] } else { [0, b'\n'] };
            let unit_idx = bytes.chunks_exact(2).position(|it| it == newline)?;
            return Some((unit_idx * 2, 2));
        }
        let found = bytes.get(searched..)?.iter().position(|it| *it == b'\n')?;
        Some((searched + found, 1))
    }

    fn text(&self, bytes: &[u8], is_cut: bool) -> String {
        let bytes = match bytes {
            // A cut through a character must not leave half of it.
            bytes if is_cut && self.encoding == UTF_8 => {
                let n_whole = str::from_utf8(bytes)
                    .err()
                    .filter(|it| it.error_len().is_none())
                    .map(|it| it.valid_up_to());
                n_whole.and_then(|it| bytes.get(..it)).unwrap_or(bytes)
            }
            bytes => bytes,
        };
        let mut text = if self.encoding == UTF_8 {
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            self.encoding.decode_without_bom_handling(bytes).0.into_owned()
        };
        if self.begins_at == 0 && text.starts_with('\u{feff}') {
            text.remove(0);
        }
        if text.ends_with('\r') {
            text.pop();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<(u64, u64, String)> {
        std::iter::from_fn(|| lines.next()).map(|it| (it.begins_at, it.ends_at, it.text)).collect()
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let mut lines = Lines::new(UTF_8, 100, 7);
        lines.push(b"one\r\ntw");
        assert_eq!(all(&mut lines), [(7, 12, "one".to_owned())]);
        assert_eq!(lines.begins_at(), 12);
        lines.push(b"o\n\nthree");
        assert_eq!(all(&mut lines), [(12, 16, "two".to_owned()), (16, 17, String::new())]);
        assert_eq!(lines.rest().map(|it| (it.ends_at, it.text)), Some((22, "three".to_owned())));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_and_takes_no_more_memory() {
        let mut lines = Lines::new(UTF_8, 6, 0);
        for _ in 0..1_000 {
            lines.push("äöü".as_bytes());
            assert_eq!(lines.next(), None);
        }
        assert!(lines.buffer.capacity() < 100);
        assert_eq!(lines.begins_at(), 0);
        lines.push(b"\nnext\n");
        let line = lines.next().unwrap();
        assert_eq!((line.text.as_str(), line.is_cut, line.ends_at), ("äöü", true, 6_001));
        assert_eq!(all(&mut lines), [(6_001, 6_006, "next".to_owned())]);

        let mut lines = Lines::new(UTF_8, 5, 0);
        lines.push("äöü\n".as_bytes());
        assert_eq!(lines.next().unwrap().text, "äö");
    }

    #[test]
    fn encodings_are_decoded() {
        let mut lines = Lines::new(UTF_16LE, 100, 0);
        let bytes: Vec<u8> = "\u{feff}aĊb\nc\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        lines.push(&bytes[..5]);
        assert_eq!(lines.next(), None);
        lines.push(&bytes[5..]);
        assert_eq!(all(&mut lines), [(0, 10, "aĊb".to_owned()), (10, 14, "c".to_owned())]);
        let mut lines = Lines::new(encoding_rs::WINDOWS_1252, 100, 0);
        lines.push(b"\xe4\n");
        assert_eq!(lines.next().unwrap().text, "ä");
        let mut lines = Lines::new(UTF_8, 100, 0);
        lines.push(b"\xe4\n");
        assert_eq!(lines.next().unwrap().text, "\u{fffd}");
    }

    proptest! {
        /// However the bytes come, the lines are those of the whole text.
        #[test]
        fn reads_cut_anywhere_make_no_difference(
            text in "[a-cä\n]{0,60}", cuts in proptest::collection::vec(0_usize..60, 0..6),
            n_bytes_max in 1_usize..12,
        ) {
            let mut whole = Lines::new(UTF_8, n_bytes_max, 0);
            whole.push(text.as_bytes());
            let mut wanted = all(&mut whole);
            wanted.extend(whole.rest().map(|it| (it.begins_at, it.ends_at, it.text)));

            let mut cuts: Vec<usize> = cuts.into_iter().map(|it| it.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut lines = Lines::new(UTF_8, n_bytes_max, 0);
            let (mut got, mut from) = (Vec::new(), 0);
            for cut in cuts {
                lines.push(&text.as_bytes()[from..cut]);
                from = cut;
                got.extend(all(&mut lines));
            }
            got.extend(lines.rest().map(|it| (it.begins_at, it.ends_at, it.text)));
            prop_assert_eq!(got, wanted);
        }
    }
}
