//! Checks beyond a setting's own range, which `knobs.rs` has: texts with a form, and settings that depend on each other.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::declare::Setting;
use super::ticks::Ticks;
use super::{AuthKnobs, Config, ModerationKnobs, ServerUrl, Setup};
use crate::error::{Error, Result};
use crate::smoothing::{AlertThresholds, Params};

/// Shorter ones can be guessed: a text, and a key in base64, which Standard Webhooks makes of 24 bytes at least.
const WEBHOOK_TEXT_BYTES_MIN: usize = 32;
const WEBHOOK_KEY_BYTES_MIN: usize = 24;
/// Marks a secret of Standard Webhooks: the key in base64.
const BASE64_SECRET: &str = "whsec_";
/// Claims of RFC 7519 that have a meaning of their own.
const REGISTERED_CLAIMS: [&str; 7] = ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"];
const POSTGRES_SCHEMES: [&str; 2] = ["postgres", "postgresql"];
const REDIS_SCHEMES: [&str; 4] = ["redis", "rediss", "redis-cluster", "rediss-cluster"];

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Config(text.into()))
}

impl Config {
    /// The timetable.
    pub fn ticks(&self) -> Result<Ticks> {
        Ticks::parse(&self.tick).map_err(|e| Error::Config(e.detail))
    }

    /// The parameters of the smoothing, and from when on a burst is an alert.
    pub fn params(&self) -> Result<Params> {
        let params =
            Params::new(&self.smoothing).map_err(|e| Error::Config(format!("[smoothing] {}", e.detail)))?;
        let ModerationKnobs { alert_ratings_min, alert_shift_min, .. } = self.moderation;
        Ok(params.with_alerts(AlertThresholds {
            ratings_min: alert_ratings_min.into(),
            shift_min: alert_shift_min,
        }))
    }

    /// The worker's listener, when there is one.
    pub fn worker_listen(&self) -> Result<Option<SocketAddr>> {
        if self.worker_listen.is_empty() || self.worker_listen == "off" {
            return Ok(None);
        }
        self.worker_listen.parse().map(Some).or_else(|_| {
            refuse(format!(
                "worker_listen {:?} is not an address; write 127.0.0.1:8082, or leave it empty",
                self.worker_listen
            ))
        })
    }

    /// Passes when every setting makes sense, so that no other code has to check.
    pub(super) fn check(&self) -> Result<()> {
        check_urls(&self.database_url, &self.redis_url)?;
        check_cache(&self.redis_url, &self.cache.redis_url)?;
        check_data(self)?;
        self.ticks()?;
        self.params()?;
        self.worker_listen()?;
        check_hosts(&self.admin_hosts)?;
        check_claims(&self.auth)?;
        check_webhook(&self.moderation)?;
        for Setting { name, range, outside } in self.settings("") {
            if let Some(value) = outside {
                return refuse(format!("{name} {value} is outside {range}"));
            }
        }
        let (request_ms, append_ms) = (self.api.request_timeout_ms, self.buffer.append_timeout_ms);
        if request_ms > 3 * append_ms {
            return Ok(());
        }
        refuse(format!(
            "api.request_timeout_ms {request_ms} must be longer than three times buffer.append_timeout_ms \
             {append_ms}: a rating must not be held after its 503"
        ))
    }
}

impl ModerationKnobs {
    /// The key that signs alerts: the bytes of the secret, or what its base64 means, as Standard Webhooks writes it.
    pub fn webhook_key(&self) -> Result<Vec<u8>> {
        let secret = self.webhook_secret.expose();
        let Some(encoded) = secret.strip_prefix(BASE64_SECRET) else { return Ok(secret.into()) };
        STANDARD.decode(encoded).or_else(|_| {
            refuse(format!(
                "moderation.webhook_secret begins with {BASE64_SECRET}, but what follows is not base64; \
                 write {BASE64_SECRET} and the output of openssl rand -base64 32"
            ))
        })
    }
}

fn check_urls(database: &ServerUrl, redis: &ServerUrl) -> Result<()> {
    match (database.is_empty(), redis.is_empty()) {
        (true, false) => refuse(
            "redis is configured but database_url is empty: set DAMPER_DATABASE_URL, \
             or unset DAMPER_REDIS_URL to run embedded",
        ),
        (false, true) => refuse(
            "postgres is configured but redis_url is empty: set DAMPER_REDIS_URL, \
             or unset DAMPER_DATABASE_URL to run embedded",
        ),
        (false, false) if !database.has_scheme(&POSTGRES_SCHEMES) => {
            refuse(format!("database_url {database} must begin with postgres://"))
        }
        (false, false) if !redis.has_scheme(&REDIS_SCHEMES) => {
            refuse(format!("redis_url {redis} must begin with redis:// or rediss://"))
        }
        _ => {
            check_whole("database_url", database)?;
            check_whole("redis_url", redis)?;
            check_files(database)
        }
    }
}

/// A special character in a password tears its URL.
fn check_whole(name: &str, url: &ServerUrl) -> Result<()> {
    if !url.is_torn() {
        return Ok(());
    }
    refuse(format!(
        "{name} {url} ends before its @: write the special characters of a password percent-encoded, \
         # as %23, / as %2F, ? as %3F, @ as %40, % as %25"
    ))
}

fn check_cache(log: &ServerUrl, cache: &ServerUrl) -> Result<()> {
    match (log.is_empty(), cache.is_empty()) {
        (_, true) => Ok(()),
        (true, false) => refuse(
            "cache.redis_url is set, but the embedded set-up caches in the process: unset DAMPER_CACHE__REDIS_URL",
        ),
        (false, false) if !cache.has_scheme(&REDIS_SCHEMES) => {
            refuse(format!("cache.redis_url {cache} must begin with redis:// or rediss://"))
        }
        _ => check_whole("cache.redis_url", cache),
    }
}

/// The library would say only that there is no such file, after the server has answered.
fn check_files(database: &ServerUrl) -> Result<()> {
    match database.files().find(|(_, path)| !path.is_file()) {
        Some(("sslrootcert", path)) => refuse(format!(
            "database_url names CA certificates that are missing: there is no file {} (sslrootcert)",
            path.display()
        )),
        Some((name, path)) => refuse(format!("database_url: there is no file {} ({name})", path.display())),
        None => Ok(()),
    }
}

/// SQLite would take these for a name of its own, or for no file at all, and keep nothing.
fn check_data(config: &Config) -> Result<()> {
    let data = &config.data;
    let text = data.to_string_lossy();
    let why = match config.setup() {
        Setup::Embedded if text.is_empty() => "is empty",
        Setup::Embedded if text.starts_with(':') => {
            "is no file, and what is in memory is lost with the process"
        }
        Setup::Embedded if ["file:", "sqlite:"].iter().any(|scheme| text.starts_with(scheme)) => "is a URL",
        Setup::Embedded if data.is_dir() || text.ends_with('/') => "is a folder",
        _ => return Ok(()),
    };
    refuse(format!("data {data:?} {why}; write the path of a file, such as /var/lib/damper/damper.db"))
}

fn check_hosts(hosts: &[String]) -> Result<()> {
    let is_in_no_name = |c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c);
    match hosts.iter().find(|host| host.contains(is_in_no_name)) {
        None => Ok(()),
        Some(host) => refuse(format!(
            "admin_hosts {host:?} is not a host name; write [damper.internal], without a port"
        )),
    }
}

fn check_claims(auth: &AuthKnobs) -> Result<()> {
    let is_own = |claim: &str| !claim.is_empty() && !REGISTERED_CLAIMS.contains(&claim);
    let (created, roles) = (&auth.account_created_claim, &auth.roles_claim);
    if !is_own(created) || created.starts_with('/') {
        return refuse(format!(
            "auth.account_created_claim {created:?} cannot hold the time at which an account was created; write the \
             name of a claim of your own, such as account_created_at"
        ));
    }
    // A JSON pointer begins with a slash and the claim.
    if !is_own(roles.strip_prefix('/').unwrap_or(roles).split('/').next().unwrap_or_default()) {
        return refuse(format!(
            "auth.roles_claim {roles:?} cannot hold roles; write roles, or /realm_access/roles"
        ));
    }
    Ok(())
}

fn check_webhook(moderation: &ModerationKnobs) -> Result<()> {
    let url = &moderation.webhook_url;
    if url.is_empty() {
        return Ok(());
    }
    if !url.expose().starts_with("https://") && !url.expose().starts_with("http://") {
        return refuse("moderation.webhook_url must begin with https:// or http://");
    }
    let is_base64 = moderation.webhook_secret.expose().starts_with(BASE64_SECRET);
    let bytes_min = if is_base64 { WEBHOOK_KEY_BYTES_MIN } else { WEBHOOK_TEXT_BYTES_MIN };
    if moderation.webhook_key()?.len() < bytes_min {
        return refuse(format!(
            "moderation.webhook_secret has fewer than {bytes_min} bytes; openssl rand -base64 32 makes one"
        ));
    }
    Ok(())
}
