//! `cargo fuzz run remote_write_v1`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::remote_write_v1(bytes));
