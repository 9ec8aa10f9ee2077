//! What a Redis says about itself. A start asks, and refuses a Redis that is too old or would lose ratings by its own
//! settings; `damper doctor` asks, and explains. Managed servers may not answer `CONFIG GET`, and a user may not be
//! permitted to ask `INFO`: what has no answer is unknown, which is no reason to refuse a start.

use std::collections::HashMap;

use fred::types::Value;
use futures_util::future::try_join_all;

use super::link::RedisLink;
use crate::error::{Error, Result};

/// The setting that allows a start all the same.
const ALLOWING: &str = "DAMPER_BUFFER__ALLOW_UNSAFE_REDIS=true";
/// The first version with everything that the scripts use.
pub const MAJOR_MIN: u32 = 7;
/// Settings that are not in `INFO`.
const SETTINGS: [&str; 6] = [
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
];

/// The name of the version in `INFO`.
const VERSION: &str = "redis_version";

/// A server's answers, by name, as far as it gave any.
#[derive(Debug, Clone, Default)]
pub struct RedisHealth {
    info: HashMap<String, String>,
    settings: HashMap<&'static str, String>,
}

/// How a Redis keeps what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeping {
    /// An append-only file, and when it is written to the disk (`appendfsync`), if that is known.
    Log(Option<String>),
    /// Snapshots from time to time: the setting, `3600 1 300 100`, and the longest time between two of them while
    /// ratings arrive, `1 h`.
    Snapshots {
        save: String,
        longest: String,
    },
    /// Memory only.
    Nothing,
    /// No append-only file; whether there are snapshots is unknown.
    NoLog,
    Unknown,
}

impl RedisHealth {
    /// Asks a server; of a cluster, one of them. A refused question is not an error.
    pub async fn ask(link: &RedisLink) -> Result<Self> {
        let info: Option<String> = answered(link.drains.command("INFO", &[]).await)?;
        let setting = async |name| {
            let pair: Option<Vec<String>> = answered(link.drains.command("CONFIG", &["GET", name]).await)?;
            Ok::<_, Error>(pair.and_then(|pair| pair.into_iter().nth(1)).map(|value| (name, value)))
        };
        let settings = try_join_all(SETTINGS.map(setting)).await?.into_iter().flatten().collect();
        let mut info = parse_info(&info.unwrap_or_default());
        if !info.contains_key(VERSION) {
            // Every user may ask this.
            let hello: Option<Value> = answered(link.drains.command("HELLO", &[]).await)?;
            info.extend(hello.and_then(parse_hello).map(|version| (VERSION.to_owned(), version)));
        }
        Ok(Self { info, settings })
    }

    pub fn version(&self) -> Option<&str> {
        self.info(VERSION)
    }

    /// Whether the version is known, and lower than what the scripts need.
    pub fn is_too_old(&self) -> bool {
        let major = self.version().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        major.is_some_and(|major| major < MAJOR_MIN)
    }

    /// What `INFO` says under this name.
    pub fn info(&self, name: &str) -> Option<&str> {
        self.info.get(name).map(String::as_str)
    }

    pub fn count(&self, name: &str) -> Option<u64> {
        self.info(name)?.parse().ok()
    }

    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// What happens to keys when the memory is full.
    pub fn eviction(&self) -> Option<&str> {
        self.info("maxmemory_policy").or(self.setting("maxmemory-policy"))
    }

    /// Whether it may evict ratings that wait. Of Damper's keys only those of the cache have a time to live, so the
    /// `volatile-*` policies evict no ratings.
    pub fn evicts_ratings(&self) -> bool {
        self.eviction().is_some_and(|policy| policy.starts_with("allkeys-"))
    }

    pub fn keeping(&self) -> Keeping {
        let has_log = match (self.info("aof_enabled"), self.setting("appendonly")) {
            (Some(enabled), _) => enabled != "0",
            (None, Some(set)) => set == "yes",
            (None, None) => return Keeping::Unknown,
        };
        if has_log {
            return Keeping::Log(self.setting("appendfsync").map(str::to_owned));
        }
        match self.setting("save").map(|save| (save, longest(save))) {
            None => Keeping::NoLog,
            Some((_, None)) => Keeping::Nothing,
            Some((save, Some(longest))) => Keeping::Snapshots { save: save.to_owned(), longest },
        }
    }

    /// The warnings for an operator at a start, one sentence each.
    ///
    /// # Errors
    /// [`Error::Config`] when it is too old, or may lose ratings by its own settings, unless that is allowed.
    pub fn check(&self, host: &str, is_allowed: bool) -> Result<Vec<String>> {
        if self.is_too_old() {
            let version = self.version().unwrap_or_default();
            return Err(Error::Config(format!(
                "redis at {host} has version {version}, whose streams lack what Damper needs: use Redis \
                 {MAJOR_MIN}.0 or later"
            )));
        }
        let (mut refusals, mut warnings) = (Vec::new(), Vec::new());
        if self.evicts_ratings() {
            let policy = self.eviction().unwrap_or_default();
            refusals.push(format!(
                "redis at {host} evicts keys when its memory is full (maxmemory-policy {policy}), \
                 ratings among them: set maxmemory-policy noeviction"
            ));
        }
        match self.keeping() {
            Keeping::Nothing => refusals.push(format!(
                "redis at {host} keeps nothing on disk (appendonly no, no save points), so a restart loses all \
                 ratings that wait: set appendonly yes"
            )),
            Keeping::Snapshots { save, longest } => warnings.push(format!(
                "redis at {host} has no append-only file: when it stops, ratings since its last snapshot \
                 are lost, which may be {longest} ago (save {save}): set appendonly yes"
            )),
            Keeping::NoLog => warnings.push(format!(
                "redis at {host} has no append-only file and does not say whether it makes snapshots: when it stops, \
                 ratings that wait may be lost: set appendonly yes"
            )),
            Keeping::Log(_) | Keeping::Unknown => {}
        }
        if is_allowed {
            warnings.append(&mut refusals);
        }
        if refusals.is_empty() {
            return Ok(warnings);
        }
        let refusals: Vec<String> =
            refusals.into_iter().map(|refusal| format!("{refusal}, or allow it with {ALLOWING}")).collect();
        Err(Error::Config(refusals.join("; ")))
    }
}

/// Nothing for a question that the server will not answer (a renamed command, no permission).
fn answered<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_transient() => Err(error),
        Err(_) => Ok(None),
    }
}

fn parse_info(text: &str) -> HashMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())).collect()
}

/// The version in an answer to `HELLO`, which is a list of names and values.
fn parse_hello(answer: Value) -> Option<String> {
    let words = answer.into_array();
    let name = words.iter().position(|word| word.as_str().is_some_and(|word| word == "version"))?;
    words.get(name + 1)?.as_string()
}

/// The longest time between two snapshots by these save points, pairs of seconds and changes; nothing without any.
fn longest(save: &str) -> Option<String> {
    let numbers: Vec<u64> = save.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let seconds = numbers.chunks_exact(2).map(|pair| pair[0]).max()?;
    Some(match seconds {
        3_600.. if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        60.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(info: &str, settings: &[(&'static str, &str)]) -> RedisHealth {
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        RedisHealth { info: parse_info(info), settings }
    }

    #[test]
    fn what_a_redis_says_of_itself_is_understood() {
        let snapshots = [("save", "3600 1 300 100")];
        for (info, settings, keeping) in [
            ("aof_enabled:1\r\n", &[("appendfsync", "always")][..], Keeping::Log(Some("always".into()))),
            ("aof_enabled:1\r\n", &[], Keeping::Log(None)),
            (
                "aof_enabled:0\r\n",
                &snapshots,
                Keeping::Snapshots { save: "3600 1 300 100".into(), longest: "1 h".into() },
            ),
            ("aof_enabled:0\r\n", &[("save", "")], Keeping::Nothing),
            ("aof_enabled:0\r\n", &[], Keeping::NoLog),
            ("", &[("appendonly", "no"), ("save", "")], Keeping::Nothing),
            ("", &[("appendonly", "yes")], Keeping::Log(None)),
            ("", &snapshots, Keeping::Unknown),
        ] {
            assert_eq!(health(info, settings).keeping(), keeping, "{info:?} {settings:?}");
        }
        for (policy, evicts) in [("noeviction", false), ("volatile-lru", false), ("allkeys-lfu", true)] {
            assert_eq!(health(&format!("maxmemory_policy:{policy}\r\n"), &[]).evicts_ratings(), evicts);
        }
    }

    #[test]
    fn what_is_unknown_is_no_reason_to_refuse() {
        assert_eq!(health("", &[]).check("r", false).unwrap(), Vec::<String>::new());
        let warned = health("aof_enabled:0\r\n", &[]).check("r", false).unwrap();
        assert!(warned[0].contains("does not say"), "{warned:?}");
    }
}
