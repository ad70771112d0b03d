//! `cargo fuzz run promql_eval`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::promql_eval(bytes));
