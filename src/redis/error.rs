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

/// Whether Redis has no memory left.
pub(super) fn is_full(error: &Error) -> bool {
    is_named(error, "OOM")
}

/// Whether Redis says this word. The error of a script may begin with the script's name and quote the word further on.
fn is_named(error: &Error, word: &str) -> bool {
    first_word(error) == word || error.details().contains(&format!("-{word} "))
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        match PASSING.into_iter().find(|word| is_named(&error, word)) {
            Some("OOM") => {
                crate::Error::Unavailable("redis has no memory left (maxmemory); a drain frees some".into())
            }
            None if is_named(&error, "MOVED") => crate::Error::Unavailable(
                "redis is one node of a cluster (MOVED): DAMPER_REDIS_URL must begin with redis-cluster://"
                    .into(),
            ),
            Some(word) => crate::Error::Unavailable(format!("redis takes nothing right now ({word})")),
            None if is_answer(&error) => crate::Error::Internal(format!("redis answered: {error}")),
            None => crate::Error::Unavailable(format!("redis did not answer: {}", cause(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use fred::error::ErrorKind;

    use super::*;

    #[test]
    fn a_node_of_a_cluster_names_the_scheme_for_one() {
        let error = Error::new(ErrorKind::Unknown, "MOVED 3999 127.0.0.1:6381");
        assert!(crate::Error::from(error).to_string().contains("redis-cluster://"));
    }
}
