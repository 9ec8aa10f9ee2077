//! Random settings from flags.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| damper_fuzz::config(bytes));
