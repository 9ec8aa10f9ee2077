//! Whether this Redis may hold the ratings of this installation.
//!
//! It must not throw ratings away by its own settings, and it must bear no other installation's name: two installations
//! in one Redis would merge each other's ratings.

use fred::types::scripts::Script;
use tracing::warn;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::redis::health::RedisHealth;
use crate::redis::link::RedisLink;

/// The key with the name of the installation.
const META: &str = "damper:meta";

/// Passes when this Redis keeps ratings, as far as it says, and belongs to this installation.
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
    stamp(link, installation, shards).await
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
