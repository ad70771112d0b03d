//! PromQL: text to tree, tree to matrix. It knows no storage: leaves are asked for through
//! [`Storage`].

pub mod leaf;
pub mod matrix;

pub use leaf::{Fused, FusedOp, Grouping, Leaf, RawSeries, Storage, StorageError, Window};
pub use matrix::{Grid, GridError, Matrix, Row, absent, is_absent};
