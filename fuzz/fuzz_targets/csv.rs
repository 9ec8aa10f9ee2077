//! Random CSV files: every line must give an entry, or an error with its line number.
#![no_main]

use damper::import::{Lines, Options};
use damper::model::Time;

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    let Ok(mut lines) = Lines::new(file, Options::default(), Time::from_ms(1_790_000_000_000)) else { return };
    let mut count = 0;
    while let Ok(Some(line)) = lines.next_line() {
        count += 1;
        if let Err(bad) = line {
            assert!(bad.line >= 1 && !bad.reason.is_empty());
        }
        assert!(count <= file.len() as u64 + 1, "it ends");
    }
});
