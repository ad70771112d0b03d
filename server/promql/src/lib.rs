//! PromQL: text to tree, tree to matrix. It knows no storage: leaves are asked for through
//! [`Storage`].

pub mod annotations;
pub mod ast;
pub mod eval;
pub mod functions;
pub mod kahan;
pub mod leaf;
mod lex;
pub mod matrix;
pub mod native;
pub mod number;
pub mod parse;
mod print;
pub mod promqltest;
pub mod quantile;
mod reach;
pub mod vector;
pub mod window;

pub use annotations::Annotations;
pub use ast::Expr;
pub use eval::{EvalError, EvalOptions, Value, eval};
pub use leaf::{
    Fused, FusedOp, Grouping, HistogramSeries, Leaf, RawSeries, Storage, StorageError, Window,
};
pub use matrix::{Grid, GridError, Histograms, Matrix, Row, absent, is_absent};
pub use parse::{ParseError, ParseOptions, parse, parse_selector, parse_with};
pub use print::format_query;
pub use reach::{Reach, reach};
