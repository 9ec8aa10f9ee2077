//! The errors of Redis: what they mean, and whose they are.

use fred::error::Error;

/// The system's own words in an I/O error, which quotes them as `Os { …, message: "Connection refused" }`.
pub(super) fn cause(error: &Error) -> String {
    let details = error.details();
    let quoted = details.split_once("message: \"").and_then(|(_, rest)| rest.split_once('"'));
    quoted.map_or_else(|| details.to_owned(), |(message, _)| message.to_owned())
}

/// Conditions that Redis names in the first word of an error, and that end by themselves or by an operator.
const PASSING: [&str; 11] = [
    "OOM",
    "LOADING",
    "READONLY",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MASTERDOWN",
    "BUSY",
    "NOAUTH",
    // Redis forgot the script again between its loading and its use.
    "NOSCRIPT",
];

/// Refusals of a server that is no primary, or not yet: after a failover a new connection may lead to the right one. A
/// cluster's client follows MOVED by itself.
const ASTRAY: [&str; 4] = ["READONLY", "LOADING", "MASTERDOWN", "MOVED"];

pub(super) fn leads_astray(error: &Error) -> bool {
    ASTRAY.contains(&first_word(error))
}

/// Whether the error is Redis' own answer, not a lost connection: its errors begin with a word in capitals.
pub fn is_answer(error: &Error) -> bool {
    let first = first_word(error);
    first.len() > 1 && first.chars().all(|c| c.is_ascii_uppercase())
}

fn first_word(error: &Error) -> &str {
    error.details().split([' ', ':']).next().unwrap_or_default()
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        let first = first_word(&error);
        // The error of a script begins with the script's name and quotes Redis' word further on.
        let is_named = |word: &str| first == word || error.details().contains(&format!("-{word} "));
        match PASSING.into_iter().find(|word| is_named(word)) {
            Some("OOM") => {
                crate::Error::Unavailable("redis has no memory left (maxmemory); a drain frees some".into())
            }
            Some(word) => crate::Error::Unavailable(format!("redis takes nothing right now ({word})")),
            None if is_answer(&error) => crate::Error::Internal(format!("redis answered: {error}")),
            None => crate::Error::Unavailable(format!("redis did not answer: {}", cause(&error))),
        }
    }
}
