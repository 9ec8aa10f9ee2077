//! Whether this Redis may hold the ratings of this installation.
//!
//! It must be new enough, must not throw ratings away by its own settings, must permit what Damper runs, and it must bear
//! no other installation's name: two installations in one Redis would merge each other's ratings.

use fred::interfaces::ClientLike;
use fred::prelude::{Client, Value};
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand};
use futures_util::future::join_all;
use tracing::warn;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::redis::health::RedisHealth;
use crate::redis::link::RedisLink;

/// The key with the name of the installation.
const META: &str = "damper:meta";
/// A key that never exists.
const NONE: &str = "damper:{0}:none";
/// Every command that Damper runs, by itself or in a script, in a form that changes nothing where there is no such key.
const COMMANDS: [(&str, &[&str]); 21] = [
    ("EVALSHA", &["0000000000000000000000000000000000000000", "1", NONE]),
    ("EXISTS", &[NONE]),
    ("GET", &[NONE]),
    ("HDEL", &[NONE, "field"]),
    ("HLEN", &[NONE]),
    ("HRANDFIELD", &[NONE, "1"]),
    ("PEXPIRE", &[NONE, "1", "NX"]),
    // A field without a value is refused.
    ("HSET", &[NONE, "field", "value", "field"]),
    ("HGET", &[NONE, "field"]),
    ("HMGET", &[NONE, "field"]),
    ("RENAME", &[NONE, NONE]),
    ("SCRIPT", &["LOAD", "return 0"]),
    ("SET", &[NONE, "value", "XX"]),
    ("TIME", &[]),
    ("UNLINK", &[NONE]),
    ("XADD", &[NONE, "NOMKSTREAM", "*", "e", "value"]),
    ("XGROUP", &["CREATE", NONE, "group", "$"]),
    ("XINFO", &["STREAM", NONE]),
    ("XRANGE", &[NONE, "-", "+"]),
    ("XSETID", &[NONE, "0-1"]),
    ("XTRIM", &[NONE, "MINID", "0"]),
];

/// Passes when this Redis keeps ratings, as far as it says, takes what Damper runs, and belongs to this installation.
pub(in crate::buffer) async fn admit(
    link: &RedisLink,
    config: &Config,
    installation: &str,
    shards: u16,
) -> Result<()> {
    let health = RedisHealth::ask(link).await?;
    for warning in health.check(config.redis_url.host(), config.buffer.allow_unsafe_redis)? {
        warn!("{warning}");
    }
    check_permissions(link, config.redis_url.host()).await?;
    stamp(link, installation, shards).await
}

/// Passes when the user may run every command on Damper's keys.
async fn check_permissions(link: &RedisLink, host: &str) -> Result<()> {
    let asked = COMMANDS.map(|(name, args)| async move {
        let hash = if args.is_empty() { ClusterHash::Random } else { ClusterHash::FirstKey };
        let command = CustomCommand::new_static(name, hash, false);
        let run = async |client: Client| client.custom::<Value, _>(command, args.to_vec()).await;
        let refusal = link.drains.ask(run).await.err().filter(|error| error.details().starts_with("NOPERM"));
        refusal.map(|refusal| (name, refusal))
    });
    let refused: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    let Some((_, why)) = refused.first() else { return Ok(()) };
    let names: Vec<&str> = refused.iter().map(|(name, _)| *name).collect();
    Err(Error::Config(format!(
        "redis at {host} does not permit {} on keys that begin with damper: to the user of DAMPER_REDIS_URL ({}): \
         permit it, as ACL SETUSER … ~damper:* +@all -@admin -@dangerous does",
        names.join(", "),
        why.details()
    )))
}

/// Puts the installation's random name and its number of shards on a Redis that bears none.
///
/// # Errors
/// [`Error::Config`] when it bears another's, [`Error::Unavailable`] when it does not answer.
pub async fn stamp(link: &RedisLink, installation: &str, shards: u16) -> Result<()> {
    let script = Script::from_lua(include_str!("stamp.lua"));
    let own = vec![installation.to_owned(), shards.to_string()];
    let found: Vec<String> = link.drains.call(&script, &[META.to_owned()], own.clone()).await?;
    if found == own {
        return Ok(());
    }
    Err(Error::Config(format!(
        "this redis belongs to another installation (found {}, expected {}): DAMPER_REDIS_URL and \
         DAMPER_DATABASE_URL must name a pair. Restored or replaced the database on purpose? Then drain or \
         delete the old ratings in redis and its key {META}",
        found.join(" with shards "),
        own.join(" with shards ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_a_script_is_checked_at_start() {
        // What `pcall` asks may be refused.
        let scripts = [
            include_str!("append.lua"),
            include_str!("backlog.lua"),
            include_str!("floor.lua"),
            include_str!("stamp.lua"),
            include_str!("trim.lua"),
            include_str!("waiting_of.lua"),
            include_str!("../../cache/put.lua"),
            include_str!("../../limits/take.lua"),
        ];
        let calls = scripts.iter().flat_map(|script| script.split("redis.call('").skip(1));
        // But an append asks so for what may fail in one shard alone.
        for call in calls.chain(scripts[0].split("redis.pcall('").skip(1)) {
            let name = call.split('\'').next().unwrap_or_default();
            assert!(COMMANDS.iter().any(|(checked, _)| *checked == name), "{name}");
        }
    }
}
