//! `cargo fuzz run logql`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::logql(bytes));
