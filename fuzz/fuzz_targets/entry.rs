//! Random log entries.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| damper_fuzz::entry(bytes));
