//! Every setting: its name, its type and its range. Its default and its reason stand in `config/default.toml`.
//!
//! A change of a setting is a change of one line here and of one in the default file. What depends on more than one
//! setting is checked in `checks.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::declare::{Range, Setting, section};
use super::{Networks, Secret, ServerUrl};
use crate::entry::Hold;
use crate::smoothing::Knobs;

/// The highest rate of a limit per minute: a call every 60 µs.
const RATE_MAX: u64 = 1_000_000;
/// A hundred years.
const DAYS_MAX: u64 = 36_500;
/// The most shards that a first migration may fix.
pub const SHARDS_MAX: u16 = 1024;

section! {
    /// Every setting; `config/default.toml` explains each.
    Config {
        /// Public listener.
        listen: SocketAddr ["an address and a port"],
        /// Admin listener.
        admin_listen: SocketAddr ["an address and a port"],
        /// Names under which the admin listener may be called.
        admin_hosts: Vec<String> ["a list of host names, without ports"],
        /// The worker's listener; empty: off.
        worker_listen: String ["an address and a port, or empty"],
        /// The SQLite file of the embedded set-up.
        data: PathBuf ["a path"],
        /// Postgres, or empty.
        database_url: ServerUrl ["a URL that begins with postgres://, or empty"],
        /// Redis, or empty.
        redis_url: ServerUrl ["a URL that begins with redis:// or rediss://, or empty"],
        /// Shards of a new installation on servers.
        shards: u16 [1..=u64::from(SHARDS_MAX)],
        /// Cron expression of the drain.
        tick: String ["a cron expression of six fields, seconds first"],
        /// Who may reach a Damper without keys.
        open: Open ["loopback or anywhere"],
        /// Who signs tokens.
        auth: AuthKnobs [section],
        /// The parameters of the smoothing.
        smoothing: Knobs [section],
        /// Appends.
        buffer: BufferKnobs [section],
        /// Drains.
        drain: DrainKnobs [section],
        /// Database.
        store: StoreKnobs [section],
        /// Read cache.
        cache: CacheKnobs [section],
        /// HTTP.
        api: ApiKnobs [section],
        /// Import of files.
        import: ImportKnobs [section],
        /// Posts.
        catalogue: CatalogueKnobs [section],
        /// Holds and alerts.
        moderation: ModerationKnobs [section],
        /// Rate limits.
        limits: LimitKnobs [section],
        /// Logging.
        log: LogKnobs [section],
    }
}
section! {
    /// `[auth]`
    AuthKnobs {
        /// The secret of HS256, or empty.
        jwt_secret: Secret ["at least 32 bytes, or empty"],
        /// A PEM file with the public key of RS256 or EdDSA, or empty.
        jwt_public_key_file: PathBuf ["a path, or empty"],
        /// A JWKS file, or empty.
        jwks_file: PathBuf ["a path, or empty"],
        /// The audience that `aud` must name, or empty.
        audience: String ["any text"],
        /// The issuer that `iss` must name, or empty.
        issuer: String ["any text"],
        /// The claim with the roles: a name, or a JSON pointer.
        roles_claim: String ["a claim that RFC 7519 does not define, or a JSON pointer into one"],
        /// The claim with the time at which the account was created.
        account_created_claim: String ["a claim that RFC 7519 does not define"],
    }
}
section! {
    /// `[buffer]`
    BufferKnobs {
        /// An append that is not durable after this is answered 503.
        append_timeout_ms: u64 [10..=60_000],
        /// The most entries of a group commit.
        group_max: usize [1..=10_000],
        /// Whether to accept a Redis that may lose ratings by its own settings.
        allow_unsafe_redis: bool ["true or false"],
    }
}
section! {
    /// `[drain]`
    DrainKnobs {
        /// The most entries of one commit of a shard.
        batch_max: usize [1..=100_000],
        /// The most shards that are drained at the same time.
        parallel_max: usize [1..=64],
        /// A tick begins no new batch after this.
        tick_seconds_max: u64 [1..=86_400],
        /// The most unrated posts that a tick ranks anew.
        rerank_max: usize [0..=1_000_000],
    }
}
section! {
    /// `[store]`
    StoreKnobs {
        /// Connections for reads.
        connections_max: u32 [1..=1_000],
        /// A database that does not answer within this is unreachable.
        connect_timeout_ms: u64 [10..=60_000],
        /// A statement that takes longer is cancelled.
        statement_timeout_ms: u64 [10..=3_600_000],
        /// The longest that a reader waits for the database.
        answer_timeout_ms: u64 [10..=60_000],
    }
}
section! {
    /// `[cache]`
    CacheKnobs {
        /// Posts in the memory of one process.
        posts_max: u64 [0..=100_000_000],
        /// How long a cached post may be served without the store.
        ttl_seconds: u64 [1..=86_400],
    }
}
section! {
    /// `[api]`
    ApiKnobs {
        /// Larger bodies are answered 413.
        body_bytes_max: usize [1_024..=16 << 20],
        /// A connection ends when the headers of a request take longer.
        header_timeout_ms: u64 [100..=600_000],
        /// Bodies that take longer are answered 408.
        body_timeout_ms: u64 [100..=600_000],
        /// A connection ends when the client reads nothing for so long.
        write_timeout_ms: u64 [100..=600_000],
        /// Connections of one listener.
        connections_max: usize [1..=1_000_000],
        /// Web origins whose pages may call.
        cors_origins: Vec<String> ["a list of origins, or [\"*\"]"],
        /// Requests that take longer are answered 503.
        request_timeout_ms: u64 [100..=600_000],
        /// Time to end requests after SIGTERM.
        shutdown_seconds_max: u64 [1..=600],
    }
}
section! {
    /// `[import]`
    ImportKnobs {
        /// The most rows that are sorted in memory.
        sort_rows_max: usize [1..=1 << 32],
    }
}
section! {
    /// `[catalogue]`
    CatalogueKnobs {
        /// What happens to a rating of an unknown post.
        mode: CatalogueMode ["closed or open"],
        /// Posts of one author in a UTC day; 0: off.
        posts_per_day_per_user: u32 [0..=RATE_MAX],
    }
}
section! {
    /// `[moderation]`
    ModerationKnobs {
        /// Which ratings are held when a post has no policy of its own.
        hold: Hold ["off, surge or always"],
        /// Ratings of younger accounts are held; 0: off.
        hold_accounts_younger_than_days: u32 [0..=DAYS_MAX],
        /// Held ratings count by themselves after this; 0: never.
        hold_release_hours: u32 [0..=24 * DAYS_MAX],
        /// Where alerts are sent, or empty.
        webhook_url: Secret ["a URL that begins with https:// or http://, or empty"],
        /// The secret that signs them.
        webhook_secret: Secret ["at least 32 bytes, or empty without webhook_url"],
    }
}
section! {
    /// `[limits]`
    LimitKnobs {
        /// Of one user; 0: off.
        ratings_per_minute_per_user: u32 [0..=RATE_MAX],
        /// From one address; 0: off.
        ratings_per_minute_per_address: u32 [0..=RATE_MAX],
        /// Of one post; 0: off.
        ratings_per_minute_per_post: u32 [0..=RATE_MAX],
        /// Proxies whose word on the client's address is believed.
        trusted_proxies: Networks ["a list of networks"],
    }
}
section! {
    /// `[log]`
    LogKnobs {
        /// A level, or levels per module.
        filter: String ["a level, or levels per module"],
        /// For people or for machines.
        format: LogFormat ["text or json"],
    }
}

impl Knobs {
    /// `[smoothing]`, whose ranges stand with the arithmetic; `Params::new` checks them.
    fn settings(&self, place: &str) -> Vec<Setting> {
        let of = |(name, _, range)| Setting::of(format!("{place}{name}"), Range::Real(range));
        self.ranges().map(of).into()
    }
}

/// What happens to a rating of an unknown post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogueMode {
    /// It is refused.
    Closed,
    /// It creates the post.
    Open,
}

/// Who may reach a Damper that has no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Open {
    /// This machine only.
    Loopback,
    /// Everyone who can reach the listener's address.
    Anywhere,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
