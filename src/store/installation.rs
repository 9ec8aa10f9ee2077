//! The installation: what the first start fixed, and the admin token's hash.

use super::checkpoints::CHECKPOINTS;
use super::prelude::*;
use crate::database::schema::{self, SCHEMA_VERSION};

/// What the first start fixed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// A random name; a Redis stamped with another one belongs to another Damper.
    pub id: String,
    /// How many shards the buffer has.
    pub shards: u16,
}

impl Store {
    /// What the first start fixed.
    pub async fn installation(&self) -> Result<Installation> {
        let sql = "select id, cast(shards as bigint) as shards from installation";
        let row = self.database.ask_one(Patience::Quick, sql, values![]).await?;
        Ok(Installation { id: row.text("id")?.to_owned(), shards: row.count("shards")? as u16 })
    }

    /// Passes when the schema is the one that this program was written for; a newer one is a `Config` error.
    pub async fn check_schema(&self) -> Result<()> {
        let sql = "select schema_version from installation";
        let row = self.database.ask_one(Patience::Quick, sql, values![]).await?;
        schema::check(row.int("schema_version")?)
    }

    /// Fixes the name and the number of shards, unless an earlier start did, and gives each shard a checkpoint.
    pub(super) async fn found(&self, shards: u16) -> Result<()> {
        let mut transaction = self.database.begin(Patience::Patient).await?;
        let sql = "insert into installation (only_row, id, shards, schema_version) values (1, $1, $2, $3)
                   on conflict do nothing";
        let name = uuid::Uuid::new_v4().to_string();
        transaction.change(sql, values![&name, i64::from(shards), SCHEMA_VERSION]).await?;
        let sql = "select cast(shards as bigint) as shards from installation";
        let row = transaction.ask(sql, values![]).await?;
        let shards = row.first().map_or(Ok(0), |row| row.int("shards"))?;
        let found = transaction.ask("select shard from checkpoints", values![]).await?;
        let found = found.iter().map(|row| row.small("shard")).collect::<Result<Vec<_>>>()?;
        // Only those that are missing: an insert waits while a commit moves one that is there.
        let missing: Vec<i16> = (0..shards as i16).filter(|shard| !found.contains(shard)).collect();
        let write = transaction.insert(&CHECKPOINTS, &missing, |row, shard| {
            row.small(*shard);
            row.bytes(&Position::START.to_bytes());
            row.bytes(&Position::START.to_bytes());
        });
        write.await?;
        transaction.commit().await
    }

    /// The hash of the admin token, if there is one.
    pub async fn admin_token(&self) -> Result<Option<String>> {
        let sql = "select hash from admin_token";
        let found = self.database.ask_optional(Patience::Quick, sql, values![]).await?;
        found.map(|row| Ok(row.text("hash")?.to_owned())).transpose()
    }

    /// Keeps the hash of an admin token, unless there is one that is not to be replaced; returns whether it did.
    pub async fn keep_admin_token(&self, hash: &str, replaces: bool) -> Result<bool> {
        let sql = "insert into admin_token (only_row, hash) values (1, $1)
                   on conflict (only_row) do update set hash = excluded.hash where $2 = 1";
        Ok(self.database.change(Patience::Quick, sql, values![hash, replaces]).await? == 1)
    }
}
