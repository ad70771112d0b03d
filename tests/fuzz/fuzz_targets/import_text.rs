//! `cargo fuzz run import_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::import_text(bytes));
