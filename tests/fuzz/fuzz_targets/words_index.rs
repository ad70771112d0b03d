//! `cargo fuzz run words_index`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::words_index(bytes));
