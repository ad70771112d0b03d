//! LogQL: text to tree, lines through stages, tree to streams or matrix. It knows no storage:
//! leaves are asked for through [`Storage`].

pub mod ast;
mod check;
mod collect;
mod drain;
mod error;
mod eval;
mod fields;
mod leaf;
mod lex;
mod live;
pub mod logqltest;
mod parse;
pub mod pipeline;
mod print;
mod range;

pub use collect::LogCollector;
pub use drain::{ClusterId, Drain, DrainLimits, ShapeId};
pub use error::{ParseError, QueryError};
pub use eval::{EvalOptions, Value, eval};
pub use fields::{Field, FieldDetector, FieldParser, FieldType};
pub use leaf::{Direction, Entry, EntryLabels, LogScan, LogStream, RangeLeaf, Storage};
pub use live::LiveLines;
pub use parse::parse;
pub use pipeline::Pipeline;
pub use print::pretty;
pub use range::{RangeCollector, RangeLimits};
pub use skep_proto::go_template::function_names as template_functions;
