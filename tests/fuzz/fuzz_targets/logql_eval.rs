//! `cargo fuzz run logql_eval`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::logql_eval(bytes));
