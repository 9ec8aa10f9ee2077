//! Random settings from flags, one NAME=VALUE a line. Flags are typed like environment variables.
#![no_main]

use damper::config::Settings;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let flags: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if let Ok(settings) = Settings::load(None, &flags) {
        settings.effective();
    }
});
