//! `cargo fuzz run commit_log`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::commit_log(bytes));
