//! Settings from flags, which are typed as the environment is: NAME=VALUE, one a line.
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
