//! `cargo fuzz run exposition`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::exposition(bytes));
