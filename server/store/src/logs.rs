//! Log entries as queries read them: which blocks may hold what is wanted, and their columns as
//! they are asked for.

mod block;
mod heads;
mod pages;
mod shared;
mod table;

pub(crate) use table::StoredLogs;
