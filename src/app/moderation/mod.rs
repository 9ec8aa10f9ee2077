//! Moderation: decisions, held ratings, previews, and alerts that lead to them.
//!
//! Every decision goes through the log, so the drain stays the only writer of averages and each can be undone exactly.

pub mod alerts;
mod decide;
mod holds;
pub mod preview;
pub mod waves;
mod webhook;

use std::sync::Arc;

use super::context::Context;
use super::core::Core;
use super::drain::Drainer;
use super::intake::Intake;
use super::reading::PostReader;
use crate::buffer::Buffer;
use crate::store::Store;

/// What moderators do.
pub struct Moderation {
    context: Arc<Context>,
    buffer: Arc<dyn Buffer>,
    store: Arc<Store>,
    intake: Arc<Intake>,
    posts: Arc<PostReader>,
    drainer: Arc<Drainer>,
    /// Held by the one round that sends alerts.
    sending: tokio::sync::Mutex<()>,
}

impl Moderation {
    pub(super) fn new(core: &Core, store: Arc<Store>) -> Self {
        let Core { context, buffer, intake, posts, drainer } = core;
        Self {
            context: context.clone(),
            buffer: buffer.clone(),
            store,
            intake: intake.clone(),
            posts: posts.clone(),
            drainer: drainer.clone(),
            sending: tokio::sync::Mutex::default(),
        }
    }
}
