//! `cargo fuzz run import_json_lines`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::import_json_lines(bytes));
