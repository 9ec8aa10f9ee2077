//! The buffer of the server set-up: one Redis stream per shard, `damper:{<shard>}:ratings`.
//!
//! The ids of a stream are the positions. An append is one script, so that the entries and the notes for readers
//! (`notes.rs`) are written together. Two rules keep the order true when clocks and connections do not. No id is at or
//! below the highest position that is known, the *floor*: the stream keeps it by itself once it got it, and it gets it
//! again after every reconnect, since Redis may have come back with less. And no append happens after its deadline, in
//! Redis' own time. A stream that is gone takes nothing until it is created again with its floor.

mod admission;
mod notes;
mod state;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::StreamsInterface;
use fred::types::scripts::Script;
use futures_util::future::{join_all, try_join_all};

use super::{Buffer, Floors, Waiting};
use crate::entry::{Backlog, Batch, Entry, Line, Position, Shard};
use crate::error::{Error, Result};
use crate::model::{PostId, Time, UserId};
use crate::redis::error::is_answer;
use crate::redis::link::RedisLink;
use state::States;

pub use admission::{admit, stamp};

/// A script of so many entries takes Redis a few milliseconds, in which it does nothing else.
const APPEND_ENTRIES_MAX: usize = 1_000;
/// The same for one command that reads.
const READ_ENTRIES_MAX: usize = 4_000;
/// The clocks of this machine and of Redis may differ by this much.
const CLOCK_DIFFERENCE_MAX_MS: i64 = 60_000;
/// An append waits this long for the floor of its shard.
const FLOOR_TIMEOUT: Duration = Duration::from_millis(500);

/// The logs in Redis.
pub struct RedisBuffer {
    link: Arc<RedisLink>,
    shard_count: u16,
    append_timeout: Duration,
    states: States,
    floors: Arc<dyn Floors>,
    scripts: Scripts,
}

struct Scripts {
    append: Script,
    floor: Script,
    trim: Script,
    backlog: Script,
    waiting_of: Script,
}

impl RedisBuffer {
    /// The logs of `shard_count` shards, each with its floor as `floors` says it.
    ///
    /// # Errors
    /// When Redis does not tell its time, or a floor is refused. A log that cannot get its floor now, because Redis is
    /// full, gets it before it takes an entry.
    pub async fn open(
        link: Arc<RedisLink>,
        shard_count: u16,
        append_timeout: Duration,
        floors: Arc<dyn Floors>,
    ) -> Result<Self> {
        let states = States::new(shard_count, ask_time(&link).await?);
        let scripts = Scripts {
            append: Script::from_lua(include_str!("append.lua")),
            floor: Script::from_lua(include_str!("floor.lua")),
            trim: Script::from_lua(include_str!("trim.lua")),
            backlog: Script::from_lua(include_str!("backlog.lua")),
            waiting_of: Script::from_lua(include_str!("waiting_of.lua")),
        };
        let buffer = Self { link, shard_count, append_timeout, states, floors, scripts };
        for set in join_all((0..shard_count).map(|shard| buffer.ensure_floor(Shard(shard)))).await {
            match set {
                Err(error) if !error.is_transient() => return Err(error),
                _ => {}
            }
        }
        Ok(buffer)
    }

    /// Passes when the clocks agree: entries are stamped by this machine and ordered by Redis.
    async fn check_clock(&self, shard: Shard, now: Time) -> Result<()> {
        let difference_ms = || (now.ms() - self.states.time(shard).ms()).abs();
        if difference_ms() <= CLOCK_DIFFERENCE_MAX_MS {
            return Ok(());
        }
        // Someone set one of the two, or this machine slept: what was learned may be old.
        self.states.learn_time(shard, ask_time(&self.link).await?);
        match difference_ms() {
            ..=CLOCK_DIFFERENCE_MAX_MS => Ok(()),
            ms => Err(Error::Unavailable(format!(
                "this machine's clock and redis' differ by {} s; set the wrong one right",
                ms / 1_000
            ))),
        }
    }

    /// Gives the stream its floor, unless it got it over this connection; returns whether it did. While nobody says
    /// the floor, because the database does not answer, a stream that is there goes on by itself, and one that is gone
    /// stays gone.
    async fn ensure_floor(&self, shard: Shard) -> Result<bool> {
        if self.states.has_floor(shard, self.link.append_connection()) {
            return Ok(false);
        }
        match tokio::time::timeout(FLOOR_TIMEOUT, self.floors.floor(shard)).await {
            Ok(Ok(floor)) => self.raise_floor(shard, floor).await.map(|()| true),
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    fn append_args(&self, shard: Shard, entries: &[Entry]) -> Vec<String> {
        let deadline = self.states.time(shard).plus_ms(self.append_timeout.as_millis() as i64);
        let mut args = Vec::with_capacity(2 + 3 * entries.len());
        args.extend([deadline.ms().to_string(), notes::STRETCH_MS.into()]);
        for entry in entries {
            args.extend([entry.encode(), notes::field(&entry.user, &entry.post), notes::score(entry)]);
        }
        args
    }

    /// Runs the script that appends. When this fails, the script will not run any more.
    async fn run_append(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<String>> {
        let sent = tokio::time::Instant::now();
        let keys = [stream::key(shard), notes::key(shard)];
        let args = self.append_args(shard, entries);
        let error = match self.link.append(&self.scripts.append, &keys, args).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        if *error.kind() == fred::error::ErrorKind::Timeout {
            self.link.cut_appends().await;
        }
        // What was sent may still be executed, until its deadline. Only then "no" is the truth, unless Redis itself
        // said it.
        if !is_answer(&error) {
            tokio::time::sleep_until(sent + self.append_timeout).await;
        }
        Err(error.into())
    }

    /// A setting of the server, if it tells (managed ones may not).
    async fn setting(&self, name: &'static str) -> Option<String> {
        let pair: Vec<String> = self.link.reads.command("CONFIG", &["GET", name]).await.ok()?;
        pair.into_iter().nth(1)
    }
}

async fn ask_time(link: &RedisLink) -> Result<Time> {
    let (seconds, micros): (i64, i64) = link.reads.command("TIME", &[]).await?;
    Ok(Time::from_ms(seconds.saturating_mul(1_000).saturating_add(micros / 1_000)))
}

#[async_trait]
impl Buffer for RedisBuffer {
    fn append_max(&self) -> usize {
        APPEND_ENTRIES_MAX
    }

    async fn prepare(&self, shard: Shard, now: Option<Time>) -> Result<bool> {
        if let Some(now) = now {
            self.check_clock(shard, now).await?;
        }
        self.ensure_floor(shard).await
    }

    async fn write(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<Position>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        if !self.link.can_append() {
            return Err(Error::Unavailable(
                "redis is not connected; ratings cannot be held right now".into(),
            ));
        }
        let reply = self.run_append(shard, entries).await?;
        let (time, ids) =
            reply.split_first().ok_or_else(|| Error::Internal("redis answered nothing".into()))?;
        self.states.learn_time(shard, Time::from_ms(time.parse().unwrap_or_default()));
        match ids.first().map(String::as_str) {
            Some("late") => {
                return Err(Error::Unavailable("redis took too long to append; try again".into()));
            }
            Some("gone") => {
                self.states.gone(shard);
                return Err(Error::Busy("redis has lost this log; it is created again, try again".into()));
            }
            _ => {}
        }
        let positions = ids.iter().map(|id| stream::parse_position(id)).collect::<Result<Vec<_>>>()?;
        if let Some(last) = positions.last() {
            self.states.learn_position(shard, *last);
        }
        Ok(positions)
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>> {
        self.states.learn_position(shard, from);
        let mut lines: Vec<Line> = Vec::new();
        while lines.len() < limit {
            let after = lines.last().map_or(from, |line| line.position);
            let count = (limit - lines.len()).min(READ_ENTRIES_MAX);
            let (key, start) = (stream::key(shard), format!("({after}"));
            let read = |client: Client| async move {
                client.xrange_values(key, start, "+", Some(count as u64)).await
            };
            let rows: Vec<(String, HashMap<Bytes, Bytes>)> = self.link.drains.ask(read).await?;
            let is_end = rows.len() < count;
            for (id, fields) in rows {
                let position = stream::parse_position(&id)?;
                lines.push(Line { position, entry: stream::parse_line(fields) });
            }
            if is_end {
                break;
            }
        }
        Ok(Batch::of(shard, from, lines))
    }

    async fn trim(&self, shard: Shard, through: Position) -> Result<()> {
        self.states.learn_position(shard, through);
        let keep = stream::next(through);
        let args = vec![keep.to_string(), keep.high.to_string(), notes::STRETCH_MS.into()];
        self.link.drains.call(&self.scripts.trim, &[stream::key(shard), notes::key(shard)], args).await
    }

    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog> {
        self.states.learn_position(shard, from);
        let (waiting, first, appends, last): (u64, String, u64, String) = self
            .link
            .drains
            .call(&self.scripts.backlog, &[stream::key(shard)], vec![from.to_string()])
            .await?;
        let oldest = Position::parse(&first).map(|first| Time::from_ms(first.high as i64));
        Ok(Backlog { waiting, oldest, appends, last: stream::parse_position(&last)? })
    }

    async fn waiting_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Waiting>>> {
        let mut shards: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        for (i, post) in posts.iter().enumerate() {
            shards.entry(Shard::of(post, self.shard_count)).or_default().push(i);
        }
        let asking = shards.into_iter().map(|(shard, asked)| async move {
            let fields = asked.iter().map(|&i| notes::field(user, &posts[i])).collect();
            let found: Vec<String> =
                self.link.reads.call(&self.scripts.waiting_of, &[notes::key(shard)], fields).await?;
            Ok::<_, Error>(asked.into_iter().zip(found))
        });
        let mut waiting = vec![None; posts.len()];
        for (i, note) in try_join_all(asking).await?.into_iter().flatten() {
            waiting[i] = notes::parse(&note);
        }
        Ok(waiting)
    }

    async fn raise_floor(&self, shard: Shard, floor: Position) -> Result<()> {
        // Before the call: a connection that is lost meanwhile may lead to another Redis.
        let connection = self.link.append_connection();
        self.states.learn_position(shard, floor);
        let floor = self.states.floor(shard).to_string();
        let _: i64 = self.link.drains.call(&self.scripts.floor, &[stream::key(shard)], vec![floor]).await?;
        self.states.floor_set(shard, connection);
        Ok(())
    }

    async fn describe(&self) -> Result<String> {
        let info: String = self.link.reads.command("INFO", &["server"]).await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?");
        let (aof, fsync) = (self.setting("appendonly").await, self.setting("appendfsync").await);
        let kept = match (aof.as_deref(), fsync) {
            (Some("yes"), Some(fsync)) => format!("appendfsync {fsync}"),
            (Some("no"), _) => "no append-only file".into(),
            _ => "durability unknown".into(),
        };
        Ok(format!("redis {version} ({} shards, {kept})", self.shard_count))
    }
}
