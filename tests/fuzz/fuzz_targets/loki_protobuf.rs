//! `cargo fuzz run loki_protobuf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| skep_fuzz::loki_protobuf(bytes));
