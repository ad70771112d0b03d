//! What black-box tests and benchmarks share: the real binaries, started on free ports with a
//! folder of their own.

mod agent;
mod client;
pub mod crash;
pub mod hostile;
mod journald;
pub mod load;
mod object_storage;
mod process;
mod server;
pub mod tls_grade;
mod tmpfs;

pub use agent::Agent;
pub use client::Client;
pub use journald::{Journald, UnitOutput};
pub use object_storage::{END_OF_PYTHON, Line, ObjectStorage};
pub use process::{Deadline, Process, bin_dir, cgroup2, cpu_seconds, free_port, is_root, skipped};
pub use server::Server;
pub use tmpfs::{Ballast, Tmpfs, disk_bytes};
