//! Settings: `config/default.toml` ← file ← `DAMPER_*` environment ← flags, and where each value came from.
//!
//! The compiled-in default file is the reference: a name that is not in it is refused, whichever source holds
//! it. What is returned is checked, so that nothing behind it has to. Passwords inside URLs never come out of
//! [`ServerUrl`]'s `Display` or `Debug`.

mod knobs;
mod networks;
mod secret;
mod settings;
pub mod ticks;
mod url;

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::smoothing::Params;
use ticks::Ticks;

pub use knobs::{
    ApiKnobs, AuthKnobs, BufferKnobs, CacheKnobs, CatalogueKnobs, CatalogueMode, Config, DrainKnobs,
    ImportKnobs, LimitKnobs, LogFormat, LogKnobs, Open, StoreKnobs,
};
pub use networks::Networks;
pub use secret::Secret;
pub use settings::{CONFIG_VARIABLE, Settings};
pub use url::ServerUrl;

/// The settings' reference: every knob, its unit, default and why. Printed by `damper config --default`.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");
/// The highest rate that a limit may have, a minute: a call every 60 µs.
const RATE_MAX: u64 = 1_000_000;
/// A shorter secret can be guessed.
const WEBHOOK_SECRET_BYTES_MIN: usize = 32;
/// A hundred years.
const DAYS_MAX: u64 = 36_500;
/// Claims of RFC 7519 that have a meaning of their own.
const REGISTERED_CLAIMS: [&str; 7] = ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"];
/// Most shards that a first migration may fix.
pub const SHARDS_MAX: u16 = 1024;

/// Which of the two ways to run these settings choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// One process, one SQLite file.
    Embedded,
    /// Redis and Postgres.
    Servers,
}

impl Config {
    /// The way to run that these settings choose.
    pub fn setup(&self) -> Setup {
        if self.database_url.is_empty() { Setup::Embedded } else { Setup::Servers }
    }

    /// How long a body may take: at most half of what is left of a request's time when appends have had theirs (the
    /// group under way, and one's own, and as much again for what is asked of Redis before).
    pub fn body_timeout(&self) -> Duration {
        self.half_of_the_rest().min(Duration::from_millis(self.api.body_timeout_ms))
    }

    /// How long it may take to find out whether there is a post; the other half.
    pub fn find_timeout(&self) -> Duration {
        self.half_of_the_rest()
    }

    fn half_of_the_rest(&self) -> Duration {
        let appends_ms = 3 * self.buffer.append_timeout_ms;
        Duration::from_millis(self.api.request_timeout_ms.saturating_sub(appends_ms) / 2)
    }

    /// Whether there are keys, so that callers must show tokens.
    pub fn has_keys(&self) -> bool {
        let auth = &self.auth;
        !auth.jwt_secret.is_empty()
            || !auth.jwt_public_key_file.as_os_str().is_empty()
            || !auth.jwks_file.as_os_str().is_empty()
    }

    /// The timetable.
    pub fn ticks(&self) -> Result<Ticks> {
        Ticks::parse(&self.tick).map_err(|e| Error::Config(e.detail))
    }

    /// The arithmetic's parameters.
    pub fn params(&self) -> Result<Params> {
        Params::new(&self.smoothing).map_err(|e| Error::Config(format!("[smoothing] {}", e.detail)))
    }

    /// The worker's listener, when there is one.
    pub fn worker_listen(&self) -> Result<Option<SocketAddr>> {
        if self.worker_listen.is_empty() || self.worker_listen == "off" {
            return Ok(None);
        }
        self.worker_listen.parse().map(Some).map_err(|_| {
            Error::Config(format!(
                "worker_listen {:?} is no address; write 127.0.0.1:8082, or leave it empty",
                self.worker_listen
            ))
        })
    }

    fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Config(text));
        match (self.database_url.is_empty(), self.redis_url.is_empty()) {
            (true, false) => {
                return refuse(
                    "redis is configured but database_url is empty: set DAMPER_DATABASE_URL, \
                     or unset DAMPER_REDIS_URL to run embedded"
                        .into(),
                );
            }
            (false, true) => {
                return refuse(
                    "postgres is configured but redis_url is empty: set DAMPER_REDIS_URL, \
                     or unset DAMPER_DATABASE_URL to run embedded"
                        .into(),
                );
            }
            _ => {}
        }
        if !self.database_url.is_empty() && !self.database_url.has_scheme(&["postgres", "postgresql"]) {
            return refuse(format!("database_url {} must begin with postgres://", self.database_url));
        }
        if !self.redis_url.is_empty()
            && !self.redis_url.has_scheme(&["redis", "rediss", "redis-cluster", "rediss-cluster"])
        {
            return refuse(format!("redis_url {} must begin with redis:// or rediss://", self.redis_url));
        }
        self.ticks()?;
        self.params()?;
        self.worker_listen()?;
        self.check_names()?;
        self.check_webhook()?;
        self.check_ranges()
    }

    fn check_webhook(&self) -> Result<()> {
        let (url, secret) = (&self.moderation.webhook_url, &self.moderation.webhook_secret);
        if url.is_empty() {
            return Ok(());
        }
        if !["https://", "http://"].iter().any(|scheme| url.expose().starts_with(scheme)) {
            return Err(Error::Config("moderation.webhook_url must begin with https:// or http://".into()));
        }
        if secret.expose().len() < WEBHOOK_SECRET_BYTES_MIN {
            return Err(Error::Config(format!(
                "moderation.webhook_secret has fewer than {WEBHOOK_SECRET_BYTES_MIN} bytes; \
                 openssl rand -base64 32 makes one"
            )));
        }
        Ok(())
    }

    fn check_names(&self) -> Result<()> {
        let is_name = |host: &&String| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if let Some(host) = self.admin_hosts.iter().find(|host| !is_name(host)) {
            return Err(Error::Config(format!(
                "admin_hosts {host:?} is no name; write [damper.internal], without a port"
            )));
        }
        let claim = &self.auth.account_created_claim;
        if claim.is_empty() || claim.starts_with('/') || REGISTERED_CLAIMS.contains(&claim.as_str()) {
            return Err(Error::Config(format!(
                "auth.account_created_claim {claim:?} cannot say since when there is an account; write the name of a \
                 claim of your own, such as account_created_at"
            )));
        }
        let claim = &self.auth.roles_claim;
        let first = claim.strip_prefix('/').unwrap_or(claim).split('/').next().unwrap_or_default();
        if first.is_empty() || REGISTERED_CLAIMS.contains(&first) {
            return Err(Error::Config(format!(
                "auth.roles_claim {claim:?} cannot hold roles; write roles, or /realm_access/roles"
            )));
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<()> {
        let limits = &self.limits;
        let whole = [
            ("shards", u64::from(self.shards), 1, u64::from(SHARDS_MAX)),
            ("buffer.append_timeout_ms", self.buffer.append_timeout_ms, 10, 60_000),
            ("buffer.group_max", self.buffer.group_max as u64, 1, 10_000),
            ("drain.batch_max", self.drain.batch_max as u64, 1, 100_000),
            ("drain.parallel_max", self.drain.parallel_max as u64, 1, 64),
            ("drain.tick_seconds_max", self.drain.tick_seconds_max, 1, 86_400),
            ("drain.rerank_max", self.drain.rerank_max as u64, 0, 1_000_000),
            ("store.connections_max", u64::from(self.store.connections_max), 1, 1_000),
            ("store.connect_timeout_ms", self.store.connect_timeout_ms, 10, 60_000),
            ("store.statement_timeout_ms", self.store.statement_timeout_ms, 10, 3_600_000),
            ("store.answer_timeout_ms", self.store.answer_timeout_ms, 10, 60_000),
            ("cache.posts_max", self.cache.posts_max, 0, 100_000_000),
            ("cache.ttl_seconds", self.cache.ttl_seconds, 1, 86_400),
            ("api.body_bytes_max", self.api.body_bytes_max as u64, 1_024, 16 << 20),
            ("api.header_timeout_ms", self.api.header_timeout_ms, 100, 600_000),
            ("api.body_timeout_ms", self.api.body_timeout_ms, 100, 600_000),
            ("api.write_timeout_ms", self.api.write_timeout_ms, 100, 600_000),
            ("api.connections_max", self.api.connections_max as u64, 1, 1_000_000),
            ("api.request_timeout_ms", self.api.request_timeout_ms, 100, 600_000),
            ("api.shutdown_seconds_max", self.api.shutdown_seconds_max, 1, 600),
            (
                "limits.ratings_per_minute_per_user",
                u64::from(limits.ratings_per_minute_per_user),
                0,
                RATE_MAX,
            ),
            (
                "limits.ratings_per_minute_per_address",
                u64::from(limits.ratings_per_minute_per_address),
                0,
                RATE_MAX,
            ),
            (
                "limits.ratings_per_minute_per_post",
                u64::from(limits.ratings_per_minute_per_post),
                0,
                RATE_MAX,
            ),
            (
                "catalogue.posts_per_day_per_user",
                u64::from(self.catalogue.posts_per_day_per_user),
                0,
                RATE_MAX,
            ),
            (
                "moderation.hold_accounts_younger_than_days",
                u64::from(self.moderation.hold_accounts_younger_than_days),
                0,
                DAYS_MAX,
            ),
            (
                "moderation.hold_release_hours",
                u64::from(self.moderation.hold_release_hours),
                0,
                24 * DAYS_MAX,
            ),
            ("import.sort_rows_max", self.import.sort_rows_max as u64, 1, 1 << 32),
        ];
        if self.api.request_timeout_ms <= 3 * self.buffer.append_timeout_ms {
            return Err(Error::Config(format!(
                "api.request_timeout_ms {} must be longer than three times buffer.append_timeout_ms {}: a rating \
                 must not be held after its 503",
                self.api.request_timeout_ms, self.buffer.append_timeout_ms
            )));
        }
        for (name, value, min, max) in whole {
            if value < min || value > max {
                return Err(Error::Config(format!("{name} {value} is outside {min}..={max}")));
            }
        }
        Ok(())
    }
}
