//! Entry point of the agent.

mod exposition;
mod sources;

fn main() {}
