//! `cargo fuzz run line_template`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::line_template(bytes));
