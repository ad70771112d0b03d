//! Eight bytes of text at once, and a bit for each byte of a longer one.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const LOW7: u64 = 0x7f7f_7f7f_7f7f_7f7f;

/// Eight bytes; zeros behind the end of a text. What is asked of them is answered by the high bit
/// of each byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eight(u64);

impl Eight {
    /// Of the first eight bytes at most.
    pub(crate) fn of(text: &[u8]) -> Self {
        Self(padded(text))
    }

    pub(crate) fn of_le(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    /// In ASCII's lower case.
    pub(crate) fn folded(self) -> u64 {
        self.0 | (self.between(b'A', b'Z') >> 2)
    }

    pub(crate) fn letters(self) -> u64 {
        Self(self.folded()).between(b'a', b'z')
    }

    pub(crate) fn is(self, byte: u8) -> u64 {
        self.between(byte, byte)
    }

    /// Both ends included; ASCII only.
    pub(crate) fn between(self, first: u8, last: u8) -> u64 {
        // The high bit of a sum says whether the byte is at least the one it was made for.
        let from = |first: u8| (self.0 & LOW7) + ONES * u64::from(0x80 - first);
        from(first) & !from(last + 1) & !self.0 & HIGH
    }
}

/// The high bits of eight bytes, side by side.
pub(crate) fn bits(classes: u64) -> u64 {
    ((classes >> 7) & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Eight bytes or less as a number, the first one lowest.
pub(crate) fn padded(text: &[u8]) -> u64 {
    if let Some(bytes) = text.first_chunk::<8>() {
        return u64::from_le_bytes(*bytes);
    }
    text.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

/// The bit of one byte.
pub(crate) fn has(mask: &[u64], at: usize) -> bool {
    mask.get(at / 64).is_some_and(|it| (it >> (at % 64)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_of_its_classes_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut text = [b'~'; 8];
                text[place] = byte;
                let eight = Eight::of(&text);
                let told = |classes| (bits(classes) >> place) & 1 == 1;
                assert_eq!(told(eight.letters()), byte.is_ascii_alphabetic(), "{byte}");
                assert_eq!(told(eight.between(b'0', b'9')), byte.is_ascii_digit(), "{byte}");
                assert_eq!(told(eight.is(b'{')), byte == b'{', "{byte}");
                assert_eq!(eight.folded().to_le_bytes()[place], byte.to_ascii_lowercase());
            }
        }
    }
}
