//! Up to where the server has acknowledged, as a file that is replaced as a whole.
//!
//! ```text
//! frame( version u8 │ next u64 LE │ positions, the rest )
//! ```

use skep_proto::frame::{self, Frame};

use crate::spool::positions::Positions;

/// Its file name.
pub(crate) const POSITION_FILE: &str = "position";

const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Every batch below this number is done with.
    pub(crate) next: u64,
    /// What the acknowledged batches say of each source.
    pub(crate) sources: Positions,
}

impl Position {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = vec![VERSION];
        payload.extend(self.next.to_le_bytes());
        payload.extend(self.sources.to_text().as_bytes());
        let mut out = Vec::new();
        frame::append(&mut out, &payload);
        out
    }

    /// `None` where the bytes are no position of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let Frame::Whole { payload, .. } = frame::read(bytes) else { return None };
        let (&VERSION, rest) = payload.split_first()? else { return None };
        let (next, sources) = rest.split_first_chunk::<8>()?;
        let sources = Positions::parse(str::from_utf8(sources).ok()?);
        Some(Self { next: u64::from_le_bytes(*next), sources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back_and_noticed_when_damaged() {
        let position = Position { next: 42, sources: Positions::journal("s=1;i=2") };
        let mut bytes = position.encode();
        assert_eq!(Position::decode(&bytes), Some(position));
        bytes[12] ^= 1;
        assert_eq!(Position::decode(&bytes), None);
        assert_eq!(Position::decode(b""), None);
    }
}
