//! Random bodies for the two calls that take one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| damper_fuzz::body(bytes));
