//! LogQL: text to tree, lines through stages, tree to streams or matrix. It knows no storage:
//! leaves are asked for through [`Storage`].

pub mod ast;
mod check;
mod error;
mod lex;
mod parse;
pub mod pipeline;
mod print;
mod units;

pub use error::{ParseError, QueryError, Unsupported};
pub use parse::parse;
pub use pipeline::Pipeline;
pub use print::pretty;
