//! What operators do: look at the status, work on the quarantine, forget a user, ask the doctor.

mod admin_token;
pub mod doctor;
pub mod forget;
pub mod quarantine;
pub mod status;

use std::sync::Arc;

use super::context::Context;
use super::core::Core;
use super::drain::Drainer;
use super::intake::Intake;
use super::reading::PostReader;
use crate::buffer::Buffer;
use crate::error::Result;
use crate::store::{DrainRun, Store};

/// What operators do.
pub struct Upkeep {
    context: Arc<Context>,
    buffer: Arc<dyn Buffer>,
    store: Arc<Store>,
    intake: Arc<Intake>,
    posts: Arc<PostReader>,
    drainer: Arc<Drainer>,
}

impl Upkeep {
    pub(super) fn new(core: &Core, store: Arc<Store>) -> Self {
        let Core { context, buffer, intake, posts, drainer } = core;
        Self {
            context: context.clone(),
            buffer: buffer.clone(),
            store,
            intake: intake.clone(),
            posts: posts.clone(),
            drainer: drainer.clone(),
        }
    }

    /// The newest drains, newest first.
    pub async fn drains(&self, limit: usize) -> Result<Vec<DrainRun>> {
        self.store.drains(limit).await
    }
}
