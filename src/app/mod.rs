//! Damper, opened: the only place that picks buffer, store and cache, wires the use cases to them, and hands these out.
//!
//! API, worker, command line and tests call the doors of [`App`]; nothing else reaches a seam. Time is always an argument.

pub mod catalogue;
mod context;
mod core;
pub mod decisions;
pub mod drain;
mod floors;
pub mod intake;
pub mod moderation;
pub mod reading;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::buffer::{self, Home};
use crate::cache;
use crate::config::ticks::Ticks;
use crate::config::{Config, Setup};
use crate::database::Database;
use crate::database::sqlite::SqliteFile;
use crate::error::Result;
use crate::limits::Limits;
use crate::redis::link::RedisLink;
use crate::smoothing::Params;
use crate::store::{STAGED, Store};
use catalogue::Catalogue;
use drain::Drainer;
use intake::Intake;
use moderation::Moderation;
use reading::Reader;
use upkeep::{Place, Upkeep};

pub(crate) use self::context::apart;
pub use self::core::Core;

/// Closing takes at most this.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Damper, opened.
pub struct App {
    core: Core,
    store: Arc<Store>,
    limits: Limits,
    reader: Reader,
    catalogue: Catalogue,
    moderation: Moderation,
    upkeep: Upkeep,
}

impl App {
    /// Connects to what the settings choose, migrating it when needed.
    ///
    /// # Errors
    /// `Unavailable` when a server does not answer, `Config` when a setting is wrong or the
    /// parts do not belong together.
    pub async fn open(config: Config) -> Result<Arc<Self>> {
        let (store, home) = match config.setup() {
            Setup::Embedded => {
                let file = Arc::new(SqliteFile::open(&config.data, &config.store).await?);
                let database = Database::sqlite(file.clone(), &config.store);
                (Store::open(database, 1).await?, Home::File(file))
            }
            Setup::Servers => {
                let drains = config.drain.parallel_max;
                let database =
                    Database::postgres(&config.database_url, &config.store, drains, &STAGED).await?;
                let store = Store::open(database, config.shards).await?;
                let append_timeout = Duration::from_millis(config.buffer.append_timeout_ms);
                let link = RedisLink::open(&config.redis_url, append_timeout).await?;
                (store, Home::Redis(Arc::new(link)))
            }
        };
        let store = Arc::new(store);
        let installation = store.installation().await?;
        let buffer =
            buffer::open(&config, &home, &installation.id, installation.shards, store.clone()).await?;
        let cache = cache::open(&config.cache, home.redis()).await?;
        let limits = Limits::new(&config.limits, home.redis(), &installation.id);
        let core = Core::assemble(config, buffer, store.clone(), cache).await?;
        Ok(Arc::new(Self {
            limits,
            reader: Reader::new(core.context.clone(), core.posts.clone(), store.clone()),
            catalogue: Catalogue { core: core.clone(), store: store.clone() },
            moderation: Moderation { core: core.clone(), store: store.clone(), sending: Mutex::default() },
            upkeep: Upkeep { core: core.clone(), store: store.clone(), swept: Place::default() },
            store,
            core,
        }))
    }

    /// Takes ratings in.
    pub fn intake(&self) -> &Intake {
        &self.core.intake
    }

    /// Shows posts, their history and their changes.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Moves the log into the averages.
    pub fn drainer(&self) -> &Drainer {
        &self.core.drainer
    }

    /// Keeps posts and users.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Decides on ratings.
    pub fn moderation(&self) -> &Moderation {
        &self.moderation
    }

    /// Operates Damper.
    pub fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// How fast ratings are taken.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The settings that this app was opened with.
    pub fn config(&self) -> &Config {
        &self.core.context.config
    }

    /// The timetable.
    pub fn ticks(&self) -> &Ticks {
        &self.core.context.ticks
    }

    /// The arithmetic's parameters.
    pub fn params(&self) -> &Params {
        &self.core.context.params
    }

    /// Closes what is open, for a process that ends; nothing is called afterwards.
    pub async fn close(&self) {
        // A connection that does not come back must not keep the process from ending.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.store.close()).await;
    }
}
