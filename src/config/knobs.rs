//! Every setting by its name, as `config/default.toml` explains it; whether the values make sense is checked in
//! `mod.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Networks, Secret, ServerUrl};
use crate::entry::Hold;
use crate::smoothing::Knobs;

macro_rules! knobs {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    };
}

knobs! {
    /// Every setting; `config/default.toml` says what each one means.
    Config {
        /// Public listener.
        listen: SocketAddr,
        /// Admin listener.
        admin_listen: SocketAddr,
        /// Names under which the admin listener may be called.
        admin_hosts: Vec<String>,
        /// The worker's listener; empty: off.
        worker_listen: String,
        /// The SQLite file of the embedded set-up.
        data: PathBuf,
        /// Postgres, or empty.
        database_url: ServerUrl,
        /// Redis, or empty.
        redis_url: ServerUrl,
        /// Shards of a new installation on servers.
        shards: u16,
        /// Cron expression of the drain.
        tick: String,
        /// Who may reach a Damper without keys.
        open: Open,
        /// Who signs tokens.
        auth: AuthKnobs,
        /// The arithmetic's parameters.
        smoothing: Knobs,
        /// Appends.
        buffer: BufferKnobs,
        /// Drains.
        drain: DrainKnobs,
        /// Database.
        store: StoreKnobs,
        /// Read cache.
        cache: CacheKnobs,
        /// HTTP.
        api: ApiKnobs,
        /// CSV import.
        import: ImportKnobs,
        /// Posts.
        catalogue: CatalogueKnobs,
        /// What is kept for moderators.
        moderation: ModerationKnobs,
        /// Rate limits.
        limits: LimitKnobs,
        /// Logging.
        log: LogKnobs,
    }
}
knobs! {
    /// `[auth]`
    AuthKnobs {
        /// The secret of HS256, or empty.
        jwt_secret: Secret,
        /// A PEM file with the public key of RS256 or EdDSA, or empty.
        jwt_public_key_file: PathBuf,
        /// A JWKS file, or empty.
        jwks_file: PathBuf,
        /// What `aud` must name, or empty.
        audience: String,
        /// What `iss` must name, or empty.
        issuer: String,
        /// The claim with the roles: a name, or a JSON pointer.
        roles_claim: String,
        /// The claim that says since when there is the account.
        account_created_claim: String,
    }
}
knobs! {
    /// `[buffer]`
    BufferKnobs {
        /// An append not durable after this is answered 503.
        append_timeout_ms: u64,
        /// Entries a group commit takes at most.
        group_max: usize,
        /// Whether a Redis that may lose ratings by its own settings will do.
        allow_unsafe_redis: bool,
    }
}
knobs! {
    /// `[drain]`
    DrainKnobs {
        /// Entries a shard and commit.
        batch_max: usize,
        /// Shards side by side.
        parallel_max: usize,
        /// A tick takes no new batch after this.
        tick_seconds_max: u64,
        /// Unrated posts re-ranked a tick.
        rerank_max: usize,
    }
}
knobs! {
    /// `[store]`
    StoreKnobs {
        /// Connections for reads.
        connections_max: u32,
        /// A database that does not answer within this is unreachable.
        connect_timeout_ms: u64,
        /// A statement that takes longer is given up.
        statement_timeout_ms: u64,
        /// A reader waits for the database at most this long.
        answer_timeout_ms: u64,
    }
}
knobs! {
    /// `[cache]`
    CacheKnobs {
        /// Posts remembered by one process.
        posts_max: u64,
        /// How long a cached post may be served without the store.
        ttl_seconds: u64,
    }
}
knobs! {
    /// `[api]`
    ApiKnobs {
        /// Larger bodies are answered 413.
        body_bytes_max: usize,
        /// Slower headers end a connection.
        header_timeout_ms: u64,
        /// Slower bodies are answered 408.
        body_timeout_ms: u64,
        /// Clients that take nothing for so long are let go.
        write_timeout_ms: u64,
        /// Connections of one listener.
        connections_max: usize,
        /// Web origins whose pages may call.
        cors_origins: Vec<String>,
        /// Slower requests are answered 503.
        request_timeout_ms: u64,
        /// Time to end requests after SIGTERM.
        shutdown_seconds_max: u64,
    }
}
knobs! {
    /// `[import]`
    ImportKnobs {
        /// Rows sorted in memory at most.
        sort_rows_max: usize,
    }
}
knobs! {
    /// `[catalogue]`
    CatalogueKnobs {
        /// What becomes of a rating whose post is not known.
        mode: CatalogueMode,
        /// Posts of one author and UTC day; 0: off.
        posts_per_day_per_user: u32,
    }
}
knobs! {
    /// `[moderation]`
    ModerationKnobs {
        /// Which ratings are held, of a post without a policy of its own.
        hold: Hold,
        /// Ratings of younger accounts are held; 0: off.
        hold_accounts_younger_than_days: u32,
        /// Held ratings count by themselves after this; 0: never.
        hold_release_hours: u32,
        /// Where alerts are told, or empty.
        webhook_url: Secret,
        /// What signs them.
        webhook_secret: Secret,
    }
}
knobs! {
    /// `[limits]`
    LimitKnobs {
        /// Of one user; 0: off.
        ratings_per_minute_per_user: u32,
        /// From one address; 0: off.
        ratings_per_minute_per_address: u32,
        /// Of one post; 0: off.
        ratings_per_minute_per_post: u32,
        /// Proxies that are believed when they name the client.
        trusted_proxies: Networks,
    }
}
knobs! {
    /// `[log]`
    LogKnobs {
        /// Level, or levels per module.
        filter: String,
        /// For people or for machines.
        format: LogFormat,
    }
}

/// What becomes of a rating whose post is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogueMode {
    /// It is refused.
    Closed,
    /// It makes the post.
    Open,
}

/// Who may reach a Damper that has no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Open {
    /// This machine only.
    Loopback,
    /// Whoever the listener's address lets in.
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
