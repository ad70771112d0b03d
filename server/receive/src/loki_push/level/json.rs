//! The first text under one of some names in a line that is a JSON object, in the order of the
//! line. A scanner, no parser: what is of no use is stepped over, damage ends the search.

/// Whether a line looks like an object: its first and last characters are braces.
pub(super) fn is_json(line: &str) -> bool {
    let is_space = |it: &u8| matches!(it, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0);
    line.trim_start().starts_with('{') && line.bytes().rev().find(|it| !is_space(it)) == Some(b'}')
}

/// Objects deeper than `depth_max` are stepped over, those in arrays too; 0 is no bound.
pub(super) fn first_text(
    line: &[u8],
    depth_max: usize,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> Option<&[u8]> {
    let mut cursor = Cursor { rest: line };
    cursor.token(b'{')?;
    let mut depth = 1;
    // Behind an opening brace or a comma.
    loop {
        if cursor.peek()? != b'}' {
            let key = cursor.string()?;
            cursor.token(b':')?;
            match cursor.peek()? {
                b'"' => {
                    let text = cursor.string()?;
                    if is_wanted(key) {
                        return Some(text);
                    }
                }
                b'{' if depth_max == 0 || depth < depth_max => {
                    cursor.token(b'{')?;
                    depth += 1;
                    continue;
                }
                b'{' => cursor.skip_block(b'{', b'}')?,
                b'[' => cursor.skip_block(b'[', b']')?,
                _ => cursor.skip_scalar()?,
            }
        }
        cursor.next_member(&mut depth)?;
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Behind a value: steps over the ends of objects and a comma. None where the line ends.
    fn next_member(&mut self, depth: &mut usize) -> Option<()> {
        loop {
            match self.peek()? {
                b',' => return self.token(b','),
                b'}' if *depth > 1 => {
                    self.token(b'}')?;
                    *depth -= 1;
                }
                _ => return None,
            }
        }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let n_spaces =
            self.rest.iter().take_while(|it| matches!(it, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.rest = self.rest.get(n_spaces..)?;
        self.rest.first().copied()
    }

    fn token(&mut self, wanted: u8) -> Option<()> {
        let found = self.peek()?;
        self.rest = self.rest.get(1..)?;
        (found == wanted).then_some(())
    }

    /// What is between two quotes, escapes left as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.token(b'"')?;
        let mut from = 0;
        loop {
            let at = from + memchr::memchr2(b'"', b'\\', self.rest.get(from..)?)?;
            if self.rest.get(at) == Some(&b'"') {
                let text = self.rest.get(..at)?;
                self.rest = self.rest.get(at + 1..)?;
                return Some(text);
            }
            from = at + 2;
        }
    }

    fn skip_block(&mut self, open: u8, close: u8) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            let at = memchr::memchr3(open, close, b'"', self.rest)?;
            let found = *self.rest.get(at)?;
            if found == b'"' {
                self.rest = self.rest.get(at..)?;
                self.string()?;
                continue;
            }
            self.rest = self.rest.get(at + 1..)?;
            depth = if found == open { depth + 1 } else { depth.checked_sub(1)? };
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A number, a boolean or null: up to what may stand behind it.
    fn skip_scalar(&mut self) -> Option<()> {
        let is_end = |it: &u8| matches!(it, b' ' | b'\t' | b'\r' | b'\n' | b',' | b'}' | b']');
        let first = *self.rest.first()?;
        if !matches!(first, b't' | b'f' | b'n' | b'-' | b'0'..=b'9') {
            return None;
        }
        self.rest = self.rest.get(self.rest.iter().position(is_end)?..)?;
        Some(())
    }
}
