//! Random bodies for the two calls that take one.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    damper_fuzz::call("POST", "/api/posts/p/rate", body);
    damper_fuzz::call("POST", "/api/posts", body);
});
