//! Settings: `config/default.toml` ← file ← `DAMPER_*` environment ← flags, and where each value came from.
//!
//! The compiled-in default file is the reference: a name that is not in it is refused, whichever source holds
//! it. What is returned is checked, so that nothing behind it has to. Passwords inside URLs never come out of
//! [`ServerUrl`]'s `Display` or `Debug`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use figment::{Figment, Metadata};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::smoothing::{Knobs, Params};
use crate::ticks::Ticks;

/// The settings' reference: every knob, its unit, default and why. Printed by `damper config --default`.
pub const DEFAULT_TOML: &str = include_str!("../config/default.toml");
/// Names the settings file, as `--config` does.
pub const CONFIG_VARIABLE: &str = "DAMPER_CONFIG";
const ENV_PREFIX: &str = "DAMPER_";
/// Most shards that a first migration may fix.
pub const SHARDS_MAX: u16 = 1024;

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
        /// Rate limits.
        limits: LimitKnobs,
        /// Logging.
        log: LogKnobs,
    }
}
knobs! {
    /// `[buffer]`
    BufferKnobs {
        /// An append not durable after this is answered 503.
        append_timeout_ms: u64,
        /// Entries a group commit takes at most.
        group_max: usize,
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
        /// A read that takes longer is given up.
        statement_timeout_ms: u64,
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
    /// `[limits]`
    LimitKnobs {
        /// Without effect so far.
        ratings_per_minute_per_user: u32,
        /// Without effect so far.
        ratings_per_minute_per_address: u32,
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
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    fn has_scheme(&self, schemes: &[&str]) -> bool {
        self.0.split_once("://").is_some_and(|(scheme, _)| schemes.contains(&scheme))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str(if self.0.is_empty() { "" } else { "***" });
        };
        // Whatever stands between "://" and the last "@" may be a secret, and so may a query's values.
        let path_end = rest.find('?').unwrap_or(rest.len());
        let (place, query) = rest.split_at(path_end);
        match place.rsplit_once('@') {
            Some((login, host)) => {
                let user = login.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}:***@{host}")?;
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

/// Which of the two ways to run these settings choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// One process, one SQLite file.
    Embedded,
    /// Redis and Postgres.
    Servers,
}

/// Checked settings and where each one came from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The values in force.
    pub config: Config,
    figment: Figment,
}

impl Settings {
    /// Reads every source; `flags` are pairs of a dotted name and its value, `("drain.batch_max", "500")`.
    ///
    /// # Errors
    /// [`Error::Config`] names the setting, its source and what to write instead.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULT_TOML).nested_name("config/default.toml"));
        let named = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
        if let Some(path) = file.map(Path::to_path_buf).or(named) {
            if !path.is_file() {
                return Err(Error::Config(format!("there is no settings file {}", path.display())));
            }
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(environment());
        for (name, value) in flags {
            // Flags are typed as the environment is: `5` is a number, anything else a text.
            let value: Value = value.parse().unwrap_or_else(|never| match never {});
            let flag = Serialized::global(name, value);
            figment = figment.merge(Named { provider: flag, source: format!("flag --{name}") });
        }
        let config: Config = figment.extract().map_err(|e| explain(&figment, e))?;
        config.check()?;
        Ok(Self { config, figment })
    }

    /// Every setting as `(dotted name, value, source)`, in the order of the default file, secrets redacted.
    pub fn effective(&self) -> Vec<(String, String, String)> {
        let values = serde_json::to_value(&self.config).unwrap_or_default();
        let mut rows = Vec::new();
        flatten("", &values, &mut rows);
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|(name, value)| {
                let source = self.figment.find_metadata(&name).map(source_of).unwrap_or_default();
                (name, value, source)
            })
            .collect();
        // JSON objects come out sorted by name; people know the default file's order.
        let order: Vec<String> = default_names();
        rows.sort_by_key(|(name, ..)| order.iter().position(|n| n == name));
        rows
    }
}

impl Config {
    /// The way to run that these settings choose.
    pub fn setup(&self) -> Setup {
        if self.database_url.is_empty() { Setup::Embedded } else { Setup::Servers }
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
        self.check_ranges()
    }

    fn check_ranges(&self) -> Result<()> {
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
            ("cache.posts_max", self.cache.posts_max, 0, 100_000_000),
            ("cache.ttl_seconds", self.cache.ttl_seconds, 1, 86_400),
            ("api.body_bytes_max", self.api.body_bytes_max as u64, 1_024, 16 << 20),
            ("api.request_timeout_ms", self.api.request_timeout_ms, 100, 600_000),
            ("api.shutdown_seconds_max", self.api.shutdown_seconds_max, 1, 600),
            ("import.sort_rows_max", self.import.sort_rows_max as u64, 1, 1 << 32),
        ];
        for (name, value, min, max) in whole {
            if value < min || value > max {
                return Err(Error::Config(format!("{name} {value} is outside {min}..={max}")));
            }
        }
        Ok(())
    }
}

/// `DAMPER_DRAIN__BATCH_MAX` is `drain.batch_max`.
fn environment() -> Env {
    Env::prefixed(ENV_PREFIX).filter(|name| !name.as_str().eq_ignore_ascii_case("config")).split("__")
}

/// A provider under another name, so that a message can say where a value came from.
struct Named<P> {
    provider: P,
    source: String,
}

impl<P: figment::Provider> figment::Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::error::Result<figment::value::Map<figment::Profile, figment::value::Dict>> {
        self.provider.data()
    }
}

trait NestedName: Sized {
    fn nested_name(self, source: &str) -> Named<Self>;
}

impl<P: figment::Provider> NestedName for P {
    fn nested_name(self, source: &str) -> Named<Self> {
        Named { provider: self, source: source.into() }
    }
}

fn source_of(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(path)) => path.display().to_string(),
        _ if metadata.name.contains("environment variable") => "environment".into(),
        _ => metadata.name.to_string(),
    }
}

fn explain(figment: &Figment, error: figment::Error) -> Error {
    let problems: Vec<String> = error
        .into_iter()
        .map(|e| {
            let source =
                e.metadata.as_ref().or_else(|| figment.find_metadata(&e.path.join("."))).map(source_of);
            let source = source.map(|s| format!(" (from {s})")).unwrap_or_default();
            match &e.kind {
                figment::error::Kind::UnknownField(name, _) => {
                    let place = e.path.iter().map(|p| format!("{p}.")).collect::<String>();
                    let place = place.strip_suffix(&format!("{name}.")).unwrap_or(&place).to_owned();
                    format!(
                        "there is no setting {place}{name}{source}; `damper config --default` lists them all"
                    )
                }
                kind => format!("setting {}: {kind}{source}", e.path.join(".")),
            }
        })
        .collect();
    Error::Config(problems.join("; "))
}

fn flatten(prefix: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, rows);
            }
        }
        serde_json::Value::String(text) => rows.push((prefix.into(), text.clone())),
        other => rows.push((prefix.into(), other.to_string())),
    }
}

/// Dotted names in the order of the default file.
fn default_names() -> Vec<String> {
    let mut section = String::new();
    let mut names = Vec::new();
    for line in DEFAULT_TOML.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{header}.");
        } else if let Some((name, _)) = line.split_once('=') {
            names.push(format!("{section}{}", name.trim()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: &[(&str, &str)]) -> Result<Settings> {
        let flags: Vec<_> = flags.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Settings::load(None, &flags)
    }

    fn refusal(flags: &[(&str, &str)]) -> String {
        with(flags).unwrap_err().to_string()
    }

    #[test]
    fn the_default_file_is_complete_and_valid() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.config.smoothing, Knobs::default());
        assert_eq!(settings.config.setup(), Setup::Embedded);
        assert_eq!(settings.effective().len(), default_names().len());
        assert!(settings.effective().iter().all(|(.., source)| !source.is_empty()));
    }

    #[test]
    fn flags_win_and_are_named_as_the_source() {
        let settings = with(&[("drain.batch_max", "7"), ("tick", "0 * * * * *")]).unwrap();
        assert_eq!(settings.config.drain.batch_max, 7);
        let row = settings.effective().into_iter().find(|(name, ..)| name == "tick").unwrap();
        assert_eq!((row.1.as_str(), row.2.as_str()), ("0 * * * * *", "flag --tick"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        assert!(refusal(&[("drain.batch_size", "7")]).contains("no setting drain.batch_size"));
        assert!(refusal(&[("drain.batch_max", "0")]).contains("drain.batch_max 0 is outside"));
        assert!(refusal(&[("drain.batch_max", "many")]).contains("drain.batch_max"));
        assert!(refusal(&[("tick", "hourly")]).contains("six fields"));
        assert!(refusal(&[("smoothing.grace_mass", "0")]).contains("grace_mass"));
        assert!(refusal(&[("redis_url", "redis://localhost")]).contains("set DAMPER_DATABASE_URL"));
        assert!(refusal(&[("database_url", "postgres://localhost/x")]).contains("set DAMPER_REDIS_URL"));
        assert!(refusal(&[("open", "everywhere")]).contains("open"));
    }

    #[test]
    fn a_url_never_shows_its_password() {
        let url = ServerUrl("postgres://damper:canary@db.example:5433/damper?sslpassword=canary".into());
        for shown in [url.to_string(), format!("{url:?}"), serde_json::to_string(&url).unwrap()] {
            assert!(!shown.contains("canary") && shown.contains("db.example"), "{shown}");
        }
        assert_eq!(url.host(), "db.example:5433");
        assert!(!ServerUrl("canary".into()).to_string().contains("canary"));
    }
}
