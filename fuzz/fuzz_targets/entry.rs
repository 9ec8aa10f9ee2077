//! Entries of the log: what can be read is written back as it was, or as the one way to write it.
#![no_main]

use damper::entry::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::decode(entry.encode().as_bytes()).as_ref(), Ok(&entry));
    }
});
