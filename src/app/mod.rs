//! The front door: API, worker, CLI and tests all call [`App`], and nothing else reaches a seam.
//!
//! Here it opens (the only place that picks buffer, store and cache) and takes ratings in. What it does besides
//! is in files of their own: [`read`](crate::read), [`history`](crate::history), [`status`](crate::status) and
//! [`drain`](crate::drain). Time is always an argument.

pub mod catalogue;
pub mod drain;
mod floors;
pub mod intake;
pub mod moderation;
pub mod reading;
pub mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::try_join_all;
use moka::future::Cache as Moka;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::floors::Checkpoints;
use crate::app::intake::eligibility::{Eligibility, Rater};
use crate::app::intake::frozen::Frozen;
use crate::app::reading::loader::Loader;
use crate::buffer::group::Grouped;
use crate::buffer::{self, Buffer, Home, Owner};
use crate::cache::memory::LIFE;
use crate::cache::{self, Cache};
use crate::config::{CatalogueMode, Config, Setup};
use crate::database::sqlite::SqliteFile;
use crate::entry::{Action, Entry, Shard, Terms};
use crate::error::{Error, Result};
use crate::faults;
use crate::limits::Limits;
use crate::redis::link::RedisLink;

use crate::config::ticks::Ticks;
use crate::model::{PostId, Score, Time, UserId};
use crate::smoothing::Params;
use crate::store::bounded::Bounded;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{DrainRun, Store};

/// Posts that a process remembers to exist; posts are never deleted.
const KNOWN_POSTS_MAX: u64 = 200_000;
/// Closing takes at most this.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Damper, opened.
pub struct App {
    pub(crate) config: Config,
    pub(crate) params: Params,
    pub(crate) ticks: Ticks,
    pub(crate) shards: u16,
    pub(crate) buffer: Arc<dyn Buffer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) loader: Loader,
    pub(crate) limits: Limits,
    /// Posts that exist.
    pub(crate) known: Moka<PostId, ()>,
    /// Posts that did not exist a moment ago.
    pub(crate) unknown: Moka<PostId, ()>,
    /// Posts that take no ratings.
    pub(crate) frozen: Frozen,
    /// Users whose accounts are old enough.
    pub(crate) eligibility: Eligibility,
    /// Held by the one decision that is being merged for whoever waits for it.
    pub(crate) deciding: tokio::sync::Mutex<()>,
    /// Held by the one round that tells a site of alerts.
    pub(crate) telling: tokio::sync::Mutex<()>,
    /// Whether a drain said that it waits for a server.
    pub(crate) drains_are_stuck: AtomicBool,
}

/// What a caller learns of an accepted rating or withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Accepted {
    /// What was rated.
    pub post_id: PostId,
    /// Who rated.
    pub user_id: UserId,
    /// The score; nothing for a withdrawal.
    pub score: Option<Score>,
    /// When it was accepted: its time for good.
    pub accepted_at: Time,
    /// The next tick.
    pub counts_from: Time,
}

impl App {
    /// Connects to what the settings choose, migrating it when needed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a server does not answer, [`Error::Config`] when a setting is wrong or the
    /// parts do not belong together.
    pub async fn open(config: Config) -> Result<Arc<Self>> {
        let (store, home): (Arc<dyn Store>, Home) = match config.setup() {
            Setup::Embedded => {
                let file = Arc::new(SqliteFile::open(&config.data, &config.store).await?);
                (Arc::new(SqliteStore::open(file.clone()).await?), Home::File(file))
            }
            Setup::Servers => {
                let drains = config.drain.parallel_max;
                let store =
                    PostgresStore::open(&config.database_url, &config.store, config.shards, drains).await?;
                let append_timeout = Duration::from_millis(config.buffer.append_timeout_ms);
                let link = RedisLink::open(&config.redis_url, append_timeout).await?;
                (Arc::new(store), Home::Redis(Arc::new(link)))
            }
        };
        let store = bounded(store, &config);
        let installation = store.installation().await?;
        let owner = Owner { installation: &installation.id, shards: installation.shards };
        let floors = Arc::new(Checkpoints(store.clone()));
        let buffer = buffer::open(&config, &home, owner, floors).await?;
        let cache = cache::open(&config, home.redis());
        Self::wire(config, buffer, store, cache, home.redis()).await
    }

    /// Puts an app together from parts, which tests may choose. Limits are shared through `shared`.
    pub async fn assemble(
        config: Config,
        buffer: Arc<dyn Buffer>,
        store: Arc<dyn Store>,
        cache: Arc<dyn Cache>,
        shared: Option<Arc<RedisLink>>,
    ) -> Result<Arc<Self>> {
        let store = bounded(store, &config);
        Self::wire(config, buffer, store, cache, shared).await
    }

    async fn wire(
        config: Config,
        buffer: Arc<dyn Buffer>,
        store: Arc<dyn Store>,
        cache: Arc<dyn Cache>,
        shared: Option<Arc<RedisLink>>,
    ) -> Result<Arc<Self>> {
        let buffer: Arc<dyn Buffer> = Arc::new(Grouped::new(buffer, config.buffer.group_max));
        let installation = store.installation().await?;
        Ok(Arc::new(Self {
            params: config.params()?,
            ticks: config.ticks()?,
            shards: installation.shards,
            limits: Limits::new(config.limits.clone(), shared, &installation.id),
            loader: Loader::new(store.clone(), cache.clone()),
            known: Moka::new(KNOWN_POSTS_MAX),
            unknown: Moka::builder().max_capacity(KNOWN_POSTS_MAX).time_to_live(LIFE).build(),
            frozen: Frozen::default(),
            eligibility: Eligibility::default(),
            deciding: tokio::sync::Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            drains_are_stuck: AtomicBool::new(false),
            config,
            buffer,
            store,
            cache,
        }))
    }

    /// Takes a user's rating or withdrawal; it is held durably when this returns.
    ///
    /// # Errors
    /// `NotFound` when there is no such post; `Unavailable` when it cannot be held, or when nobody can tell
    /// whether the post exists: then nothing will be counted that a later answer does not know of.
    pub async fn submit<'a>(
        &self,
        post: &PostId,
        rater: impl Into<Rater<'a>>,
        action: Action,
        now: Time,
    ) -> Result<Accepted> {
        let rater = rater.into();
        // What is left of the request's time must be enough to hear the append's outcome.
        let asked = tokio::time::timeout(self.config.find_timeout(), async {
            if !self.creates_posts() {
                self.require_post(post, now).await?;
            }
            self.check_frozen(post, now).await?;
            let is_too_young = self.is_too_young(rater, &action, now).await;
            Ok::<Terms, Error>(Terms { is_too_young, ..self.terms() })
        });
        let terms = asked.await.map_err(|_| {
            Error::Unavailable(format!("nobody can tell now whether there is a post {post}"))
        })??;
        let shard = self.shard_of(post);
        let (post_id, user_id) = (post.clone(), rater.user.clone());
        let score = action.score();
        let entry = Entry { terms, ..Entry::new(post_id, user_id, now, action) };
        self.buffer.append(shard, &[entry], Some(now)).await?;
        faults::reach("submit.held");
        Ok(Accepted {
            post_id: post.clone(),
            user_id: rater.user.clone(),
            score,
            accepted_at: now,
            counts_from: self.ticks.around(now).next,
        })
    }

    /// Appends entries that carry their own times, in the order given; their posts exist ([`ensure_posts`]), or they
    /// make them.
    /// When it fails some of them are held, a prefix of each shard's; sending all again is safe.
    ///
    /// [`ensure_posts`]: Self::ensure_posts
    pub async fn submit_all(&self, entries: Vec<Entry>) -> Result<()> {
        self.append_all(entries, None).await
    }

    /// The same; `now` is this machine's time, when the entries carry it.
    pub(crate) async fn append_all(&self, entries: Vec<Entry>, now: Option<Time>) -> Result<()> {
        let mut shards: BTreeMap<Shard, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            shards.entry(self.shard_of(&entry.post)).or_default().push(entry);
        }
        try_join_all(shards.iter().map(|(shard, entries)| async move {
            for group in entries.chunks(self.buffer.append_max()) {
                self.buffer.append(*shard, group, now).await?;
            }
            Ok(())
        }))
        .await
        .map(drop)
    }

    /// Takes in ratings of many users, in the order given, for posts that are there ([`missing`](Self::missing)). When
    /// it fails some of them are held, a prefix of each shard's; sending all again is safe.
    pub async fn ingest(&self, entries: Vec<Entry>, now: Time) -> Result<()> {
        self.import(entries, Some(now)).await
    }

    /// The same for a file that an operator brings in, whatever the clocks say.
    pub async fn bring_in(&self, entries: Vec<Entry>) -> Result<()> {
        self.import(entries, None).await
    }

    async fn import(&self, mut entries: Vec<Entry>, now: Option<Time>) -> Result<()> {
        // Whoever may bring in ratings of others answers for their accounts.
        let terms = self.terms();
        entries.iter_mut().for_each(|entry| entry.terms = terms);
        self.append_all(entries, now).await
    }

    /// Closes what is open, for a process that ends; nothing is called afterwards.
    pub async fn close(&self) {
        // A connection that does not come back must not keep the process from ending.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.store.close()).await;
    }

    /// The terms of a rating by an account that is old enough.
    fn terms(&self) -> Terms {
        let hold = self.config.moderation.hold;
        Terms { creates_post: self.creates_posts(), hold, is_too_young: false }
    }

    async fn is_too_young(&self, rater: Rater<'_>, action: &Action, now: Time) -> bool {
        let days = self.config.moderation.hold_accounts_younger_than_days;
        action.score().is_some() && self.eligibility.is_too_young(rater, days, now, &*self.store).await
    }

    /// Whether a rating makes its post where there is none.
    pub(crate) fn creates_posts(&self) -> bool {
        self.config.catalogue.mode == CatalogueMode::Open
    }

    /// Passes when the post exists; asks whoever knows, nearest first.
    async fn require_post(&self, id: &PostId, now: Time) -> Result<()> {
        if self.known.get(id).await.is_some() {
            return Ok(());
        }
        self.state(id, now).await?;
        self.known.insert(id.clone(), ()).await;
        Ok(())
    }

    pub(crate) fn shard_of(&self, post: &PostId) -> Shard {
        Shard::of(post, self.shards)
    }

    pub(crate) fn all_shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.shards).map(Shard)
    }

    /// The settings that this app was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The newest drains, newest first.
    pub async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        self.store.drains(limit).await
    }

    /// How fast ratings are taken.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The timetable.
    pub fn ticks(&self) -> &Ticks {
        &self.ticks
    }

    /// The arithmetic's parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// A store whose every answer comes within the settings' limits.
fn bounded(store: Arc<dyn Store>, config: &Config) -> Arc<dyn Store> {
    let answer_timeout = Duration::from_millis(config.store.answer_timeout_ms);
    Arc::new(Bounded::new(store, answer_timeout))
}
