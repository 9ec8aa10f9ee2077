//! Secrets in the settings, which never show themselves, and servers' URLs, which never show their passwords.

use std::fmt;
use std::path::Path;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Parameters of Postgres' URL that name a file, without an escape.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

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

    /// The same with a host. libpq reads a URL that has a login and no host, but a socket among its parameters.
    pub fn with_host(&self) -> String {
        let begin = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[begin..].find(['/', '?', '#']).map_or(self.0.len(), |at| begin + at);
        let (login, rest) = self.0.split_at(end);
        if login.ends_with('@') { format!("{login}localhost{rest}") } else { self.0.clone() }
    }

    /// The files that its parameters name, which TLS needs; but for those with an escape in their names.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        let parameters = self.0.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
        let named = parameters.filter_map(|parameter| parameter.split_once('='));
        named
            .filter(|(name, path)| FILES.contains(name) && !path.contains('%'))
            .map(|(name, path)| (name, Path::new(path)))
    }

    /// Whether it is unset.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `host:port` as far as the URL says it, for messages.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let socket = || rest.split(['?', '&']).find_map(|parameter| parameter.strip_prefix("host="));
        if host.is_empty() { socket().unwrap_or_default() } else { host }
    }

    /// Whether a character of the password ends what stands before the host: the real host then seems to be a part of the
    /// path, the query or the fragment.
    pub(super) fn is_torn(&self) -> bool {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let (place, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (path, query) = behind.split_at(behind.find('?').unwrap_or(behind.len()));
        // A parameter may hold an @.
        let has_parameter = query.split('@').next().is_some_and(|before| before.contains('='));
        !place.contains('@') && (path.contains('@') || query.contains('@') && !has_parameter)
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
    fn a_socket_among_the_parameters_is_the_host() {
        let url = ServerUrl("postgres://u:p@/d?host=/cloudsql/a:b:c".into());
        assert_eq!(
            (url.with_host().as_str(), url.host()),
            ("postgres://u:p@localhost/d?host=/cloudsql/a:b:c", "/cloudsql/a:b:c")
        );
        let url = ServerUrl("postgres://u:p@h/d?application_name=a@/b".into());
        assert_eq!(url.with_host(), url.expose());
    }

    #[test]
    fn a_password_that_tears_its_url_is_noticed() {
        let is_torn = |url: &str| ServerUrl(url.into()).is_torn();
        for torn in ["p://u:a/b@h/d", "p://u:1/b@h/d", "p://u:a?b@h/d", "p://u:a#b@h/d", "redis://:a/b@h"] {
            assert!(is_torn(torn), "{torn}");
        }
        for whole in [
            "p://u:a%2Fb@h/d",
            "p://h/d?application_name=a@b",
            "p://u@/d?host=/a@b",
            "p://h:1/d",
            "p://u:a@b@h",
        ] {
            assert!(!is_torn(whole), "{whole}");
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
