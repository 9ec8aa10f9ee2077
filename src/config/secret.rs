//! Secrets in the settings, which never show themselves, and servers' URLs, which never show their passwords.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that no output shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, only for code that computes with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is unset.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { "***" }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

/// A message about a secret of the wrong type must not quote it, as a derived one would.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        text.map(Self).map_err(|_| D::Error::custom("a secret is a text in quotes"))
    }
}

/// A server's URL; shows itself without its password.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// The URL with its password, for the client library only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is unset.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `host:port` as far as the URL says it, for messages.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }

    pub(super) fn has_scheme(&self, schemes: &[&str]) -> bool {
        self.0.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str(if self.0.is_empty() { "" } else { "***" });
        };
        // All between "://" and the last "@" may be a secret, and so may a query's values.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (place, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        match login {
            Some(login) => {
                let user = login.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:***@{place}")?;
            }
            None => write!(f, "{scheme}://{place}")?,
        }
        if query.is_empty() { Ok(()) } else { f.write_str("?***") }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_itself() {
        let secret: Secret = serde_json::from_str("\"canary\"").unwrap();
        assert_eq!((secret.expose(), secret.is_empty()), ("canary", false));
        for shown in [format!("{secret:?}"), serde_json::to_string(&secret).unwrap()] {
            assert!(!shown.contains("canary") && shown.contains("***"), "{shown}");
        }
        for wrong in ["424242", "-424242", "4242.42"] {
            let refusal = serde_json::from_str::<Secret>(wrong).unwrap_err().to_string();
            assert!(!refusal.contains("4242") && refusal.contains("text in quotes"), "{refusal}");
        }
    }

    #[test]
    fn a_url_never_shows_its_password() {
        let url = ServerUrl("postgres://damper:canary@db.example:5433/damper?sslpassword=canary".into());
        for shown in [url.to_string(), format!("{url:?}"), serde_json::to_string(&url).unwrap()] {
            assert!(!shown.contains("canary") && shown.contains("db.example"), "{shown}");
        }
        assert_eq!(url.host(), "db.example:5433");
        let unescaped = ServerUrl("postgres://damper:can/a?ry@db.example/damper".into());
        assert_eq!((unescaped.to_string().contains("ry@"), unescaped.host()), (false, "db.example"));
        assert!(!ServerUrl("canary".into()).to_string().contains("canary"));
    }
}
