//! Random log entries: a readable entry must survive being written and read again.
#![no_main]

use damper::entry::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::decode(entry.encode().as_bytes()).as_ref(), Ok(&entry));
    }
});
