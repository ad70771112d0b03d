//! Up to where the server has acknowledged, as a file that is replaced as a whole.
//!
//! ```text
//! frame( version u8 │ next u64 LE │ cursor, the rest )
//! ```

use skep_proto::frame::{self, Frame};

/// Its file name.
pub(crate) const POSITION_FILE: &str = "position";

const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Every batch below this number is done with.
    pub(crate) next: u64,
    /// The cursor of the last acknowledged batch that had one.
    pub(crate) cursor: Option<String>,
}

impl Position {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = vec![VERSION];
        payload.extend(self.next.to_le_bytes());
        payload.extend(self.cursor.as_deref().unwrap_or_default().as_bytes());
        let mut out = Vec::new();
        frame::append(&mut out, &payload);
        out
    }

    /// `None` where the bytes are no position of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let Frame::Whole { payload, .. } = frame::read(bytes) else { return None };
        let (&VERSION, rest) = payload.split_first()? else { return None };
        let (next, cursor) = rest.split_first_chunk::<8>()?;
        let cursor = str::from_utf8(cursor).ok()?;
        let cursor = (!cursor.is_empty()).then(|| cursor.to_owned());
        Some(Self { next: u64::from_le_bytes(*next), cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back_and_noticed_when_damaged() {
        let position = Position { next: 42, cursor: Some("s=1;i=2".to_owned()) };
        let mut bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Some(position));
        bytes[12] ^= 1;
        assert_eq!(Position::decode(&bytes), None);
        assert_eq!(Position::decode(b""), None);
    }
}
