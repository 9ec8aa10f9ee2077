//! The floors of the logs, for a buffer that asks: what the checkpoints say is merged.

use std::sync::Arc;

use async_trait::async_trait;

use crate::buffer::Floors;
use crate::entry::{Position, Shard};
use crate::error::Result;
use crate::store::Store;

/// The checkpoints of a store.
pub struct Checkpoints(pub Arc<Store>);

#[async_trait]
impl Floors for Checkpoints {
    async fn floor(&self, shard: Shard) -> Result<Position> {
        Ok(self.0.checkpoint(shard).await?.floor())
    }
}
