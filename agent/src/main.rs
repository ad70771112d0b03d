//! Entry point of the agent.

mod exposition;
mod sources;
mod spool;

fn main() {}
