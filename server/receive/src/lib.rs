//! Which rows are in these request bytes? Prometheus remote-write and Loki push bodies, decoded to
//! rows that borrow from the unpacked body.
//!
//! Pure: bytes and header values in, rows or a typed error out. Every size has a limit
//! ([`Limits`]), so a request costs at most about nine times `plain_bytes_max` in memory.
//!
//! One bad series does not cost the others: what a request says wrongly about one series or stream
//! is left out and told in [`Refused`]; the caller stores the rest and answers 400 with its text,
//! as Prometheus' and Loki's partial writes do.

mod body;
mod error;
pub mod exposition;
pub mod import;
mod limits;
pub mod loki_push;
mod protobuf;
mod reason;
mod refused;
pub mod remote_write;

pub use error::{BadData, Error, TooLarge, UnsupportedMedia};
pub use limits::Limits;
pub use protobuf::WireError;
pub use reason::Reason;
pub use refused::Refused;
