//! The way of a rating: in through [`Intake`], through [`Drainer`] into the averages, out through [`PostReader`]; and
//! the moderators' part in it, [`Decisions`].
//!
//! It works on any log, ledger and cache; [`App`](super::App) adds what people need around it. The simulation runs this
//! core on parts in memory.

use std::sync::Arc;

use super::context::Context;
use super::decisions::Decisions;
use super::drain::Drainer;
use super::intake::Intake;
use super::reading::PostReader;
use crate::buffer::Buffer;
use crate::buffer::group::Grouped;
use crate::cache::Cache;
use crate::config::Config;
use crate::error::Result;
use crate::store::Ledger;

/// The three doors that every rating passes, the one for decisions, and what they share.
#[derive(Clone)]
pub struct Core {
    /// Settings, parameters, timetable, shards.
    pub context: Arc<Context>,
    /// The log, with appends grouped.
    pub(super) buffer: Arc<dyn Buffer>,
    /// Takes entries in.
    pub intake: Arc<Intake>,
    /// Shows posts.
    pub posts: Arc<PostReader>,
    /// Moves the log into the averages.
    pub drainer: Arc<Drainer>,
    /// Takes moderators' decisions in.
    pub decisions: Arc<Decisions>,
}

impl Core {
    /// Puts the core together. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the ledger answers when it is asked for the installation; `Config` when a setting is wrong.
    pub async fn assemble(
        config: Config,
        buffer: Arc<dyn Buffer>,
        ledger: Arc<dyn Ledger>,
        cache: Arc<dyn Cache>,
    ) -> Result<Self> {
        let buffer: Arc<dyn Buffer> = Arc::new(Grouped::new(buffer, config.buffer.group_max));
        let shards = ledger.installation().await?.shards;
        let context = Arc::new(Context { params: config.params()?, ticks: config.ticks()?, shards, config });
        let posts = Arc::new(PostReader::new(context.clone(), buffer.clone(), ledger.clone(), cache.clone()));
        let intake = Arc::new(Intake::new(context.clone(), buffer.clone(), ledger.clone(), posts.clone()));
        let drainer = Arc::new(Drainer::new(context.clone(), buffer.clone(), ledger.clone(), cache));
        let decisions = Decisions {
            context: context.clone(),
            buffer: buffer.clone(),
            ledger,
            posts: posts.clone(),
            intake: intake.clone(),
            drainer: drainer.clone(),
        };
        Ok(Self { context, buffer, intake, posts, drainer, decisions: Arc::new(decisions) })
    }
}
