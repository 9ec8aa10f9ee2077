//! The floors of the logs, for a buffer that asks: what the checkpoints say is merged.

use async_trait::async_trait;

use crate::buffer::Floors;
use crate::entry::{Floor, Shard};
use crate::error::Result;
use crate::store::Store;

#[async_trait]
impl Floors for Store {
    async fn floor(&self, shard: Shard) -> Result<Floor> {
        Ok(self.checkpoint(shard).await?.floor())
    }
}
