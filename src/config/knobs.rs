//! Every setting: its name, its type and its range. `config/default.toml` has its default and says what it is for.
//! What depends on more than one setting is checked in `checks.rs`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::declare::{Setting, sections};
use super::{Networks, Secret, ServerUrl};
use crate::entry::Hold;
use crate::smoothing::Knobs;

/// The highest rate of a limit per minute: a call every 60 µs.
const RATE_MAX: u32 = 1_000_000;
/// A hundred years.
const DAYS_MAX: u32 = 36_500;

sections! {
    Config {
        listen: SocketAddr ["an address and a port"],
        admin_listen: SocketAddr ["an address and a port"],
        admin_hosts: Vec<String> ["a list of host names, without ports"],
        worker_listen: String ["an address and a port, or empty"],
        data: PathBuf ["a path"],
        database_url: ServerUrl ["a URL that begins with postgres://, or empty"],
        redis_url: ServerUrl ["a URL that begins with redis:// or rediss://, or empty"],
        shards: u16 [1..=1_024],
        tick: String ["a cron expression of six fields, seconds first"],
        open: Open ["loopback or anywhere"],
        auth: AuthKnobs [section],
        smoothing: Knobs [section],
        buffer: BufferKnobs [section],
        drain: DrainKnobs [section],
        store: StoreKnobs [section],
        cache: CacheKnobs [section],
        api: ApiKnobs [section],
        import: ImportKnobs [section],
        catalogue: CatalogueKnobs [section],
        moderation: ModerationKnobs [section],
        limits: LimitKnobs [section],
        log: LogKnobs [section],
    }
    AuthKnobs {
        jwt_secret: Secret ["at least 32 bytes, or empty"],
        jwt_public_key_file: PathBuf ["a path, or empty"],
        jwks_file: PathBuf ["a path, or empty"],
        audience: String ["any text"],
        issuer: String ["any text"],
        roles_claim: String ["a claim that RFC 7519 does not define, or a JSON pointer into one"],
        account_created_claim: String ["a claim that RFC 7519 does not define"],
    }
    BufferKnobs {
        append_timeout_ms: u64 [10..=60_000],
        group_max: usize [1..=10_000],
        allow_unsafe_redis: bool ["true or false"],
    }
    DrainKnobs {
        batch_max: usize [1..=100_000],
        parallel_max: usize [1..=64],
        tick_seconds_max: u64 [1..=86_400],
        rerank_max: usize [0..=1_000_000],
    }
    StoreKnobs {
        connections_max: u32 [1..=1_000],
        heavy_connections_max: u32 [1..=1_000],
        connect_timeout_ms: u64 [10..=60_000],
        statement_timeout_ms: u64 [10..=3_600_000],
        answer_timeout_ms: u64 [10..=60_000],
    }
    CacheKnobs {
        redis_url: ServerUrl ["a URL that begins with redis:// or rediss://, or empty"],
        redis_bytes_max: u64 [0..=1 << 40],
        memory_bytes_max: u64 [0..=1 << 40],
        ttl_seconds: u64 [1..=86_400],
    }
    ApiKnobs {
        body_bytes_max: usize [1_024..=16 << 20],
        header_timeout_ms: u64 [100..=600_000],
        body_timeout_ms: u64 [100..=600_000],
        write_timeout_ms: u64 [100..=600_000],
        connections_max: usize [1..=1_000_000],
        connections_per_address_max: usize [1..=1_000_000],
        followers_per_address_max: usize [1..=1_000_000],
        cors_origins: Vec<String> ["a list of origins, or [\"*\"]"],
        request_timeout_ms: u64 [100..=600_000],
        shutdown_seconds_max: u64 [1..=600],
    }
    ImportKnobs {
        sort_rows_max: usize [1..=1 << 32],
    }
    CatalogueKnobs {
        mode: CatalogueMode ["closed or open"],
        posts_per_day_per_user: u32 [0..=RATE_MAX],
    }
    ModerationKnobs {
        hold: Hold ["off, surge or always"],
        hold_accounts_younger_than_days: u32 [0..=DAYS_MAX],
        hold_release_hours: u32 [0..=24 * DAYS_MAX],
        alert_ratings_min: u32 [0..=1_000_000],
        alert_shift_min: f64 [0.0..=5.0],
        webhook_url: Secret ["a URL that begins with https:// or http://, or empty"],
        webhook_secret: Secret ["at least 32 bytes, or empty without webhook_url"],
    }
    LimitKnobs {
        ratings_per_minute_per_user: u32 [0..=RATE_MAX],
        ratings_per_minute_per_address: u32 [0..=RATE_MAX],
        ratings_per_minute_per_post: u32 [0..=RATE_MAX],
        trusted_proxies: Networks ["a list of networks"],
    }
    LogKnobs {
        filter: String ["a level, or levels per module"],
        format: LogFormat ["text or json"],
    }
}

impl Knobs {
    /// `[smoothing]`: the arithmetic has the ranges, and `Params::new` checks them.
    fn settings(&self, place: &str) -> Vec<Setting> {
        let range = |range: RangeInclusive<f64>| format!("{}..={}", range.start(), range.end());
        self.ranges().map(|(name, _, of)| Setting::of(format!("{place}{name}"), range(of))).into()
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
