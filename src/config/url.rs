//! A server's URL, which never shows its password.

use std::fmt;

use serde::{Deserialize, Serialize};

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
        // Whatever stands between "://" and the last "@" may be a secret, and so may a query's values.
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
