//! Random list cursors, in either order, plain and as hexadecimal digits.
#![no_main]

libfuzzer_sys::fuzz_target!(|cursor: &[u8]| {
    let digits: String = cursor.iter().map(|byte| format!("{byte:02x}")).collect();
    let escaped: String = cursor.iter().map(|byte| format!("%{byte:02X}")).collect();
    for sort in ["new", "top"] {
        for cursor in [&digits, &escaped] {
            damper_fuzz::call("GET", &format!("/api/posts?sort={sort}&cursor={cursor}"), b"");
        }
    }
});
