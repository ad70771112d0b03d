//! `cargo fuzz run wal_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::wal_record(bytes));
