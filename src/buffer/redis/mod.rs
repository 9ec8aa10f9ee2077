//! The buffer of the server set-up: one Redis stream per shard, whose ids are the positions. One call of a script appends
//! to any number of them, but in a cluster to one.
//!
//! No id is at or below the highest position that is known, the *floor*: the stream keeps it by itself, and gets it
//! again after every reconnect, since Redis may have come back with less; one that is gone takes nothing until it is
//! created again with its floor. And no append happens after its deadline, in Redis' own time.

mod admission;
mod log;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fred::bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::StreamsInterface;
use fred::types::scripts::Script;
use futures_util::future::{join_all, try_join_all};

use super::{Buffer, Floors, Waiting};
use crate::entry::{Backlog, Batch, Entry, Floor, Line, Position, Shard};
use crate::error::{Error, Result};
use crate::model::{PostId, Time, UserId};
use crate::redis::error::is_answer;
use crate::redis::health::{Keeping, RedisHealth};
use crate::redis::link::RedisLink;

pub(super) use admission::admit;
pub use admission::stamp;

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
    /// One for each shard.
    states: Vec<Mutex<State>>,
    floors: Arc<dyn Floors>,
    append: Script,
    floor: Script,
    trim: Script,
    backlog: Script,
    waiting_of: Script,
}

/// What a process knows about a shard's log. In a cluster each shard may live on another server, with a clock of its own.
struct State {
    /// The highest position that is known.
    floor: Position,
    /// The number of the connection over which the stream got its floor; 0 when it must get it again.
    connection: u64,
    /// The server's time, and when it was learned.
    time: Time,
    learned: Instant,
}

impl State {
    /// A log of which nothing is known but the server's time.
    fn new(time: Time) -> Self {
        Self { floor: Position::START, connection: 0, time, learned: Instant::now() }
    }

    /// The server's time now, as its last reply says it: never ahead of the server, unless its clock is set back.
    fn time(&self) -> Time {
        self.time.plus_ms(self.learned.elapsed().as_millis() as i64)
    }

    fn learn_time(&mut self, time: Time) {
        (self.time, self.learned) = (time, Instant::now());
    }

    /// Remembers a position that exists.
    fn learn_position(&mut self, position: Position) {
        self.floor = self.floor.max(position);
    }
}

impl RedisBuffer {
    /// The logs of `shard_count` shards, each with its floor as `floors` says it.
    ///
    /// # Errors
    /// When Redis does not say its time, or refuses a floor. A log that cannot get its floor now, because Redis is
    /// full, gets it before it takes an entry.
    pub async fn open(link: Arc<RedisLink>, shard_count: u16, floors: Arc<dyn Floors>) -> Result<Self> {
        let time = link.reads.time().await?;
        let states = (0..shard_count).map(|_| Mutex::new(State::new(time))).collect();
        let buffer = Self {
            link,
            shard_count,
            states,
            floors,
            append: Script::from_lua(include_str!("append.lua")),
            floor: Script::from_lua(include_str!("floor.lua")),
            trim: Script::from_lua(include_str!("trim.lua")),
            backlog: Script::from_lua(include_str!("backlog.lua")),
            waiting_of: Script::from_lua(include_str!("waiting_of.lua")),
        };
        let set = join_all((0..shard_count).map(|shard| buffer.ensure_floor(Shard(shard)))).await;
        match set.into_iter().filter_map(Result::err).find(|error| !error.is_transient()) {
            Some(error) => Err(error),
            None => Ok(buffer),
        }
    }

    fn state(&self, shard: Shard) -> MutexGuard<'_, State> {
        self.states[shard.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes when the clocks agree: entries are stamped by this machine and ordered by Redis.
    async fn check_clock(&self, shard: Shard, now: Time) -> Result<()> {
        let difference_ms = || (now.ms() - self.state(shard).time().ms()).abs();
        if difference_ms() <= CLOCK_DIFFERENCE_MAX_MS {
            return Ok(());
        }
        // Someone set one of the two, or this machine slept: what was learned may be old.
        let time = self.link.reads.time().await?;
        self.state(shard).learn_time(time);
        match difference_ms() {
            ..=CLOCK_DIFFERENCE_MAX_MS => Ok(()),
            ms => Err(Error::Unavailable(format!(
                "this machine's clock and redis' differ by {} s; set the wrong one right",
                ms / 1_000
            ))),
        }
    }

    /// Gives the stream its floor, unless it got it over this connection; returns whether it did. While the floor is
    /// unknown, because the database does not answer, a stream that is there goes on by itself, and one that is gone
    /// stays gone.
    async fn ensure_floor(&self, shard: Shard) -> Result<bool> {
        if self.state(shard).connection == self.link.appends.connection_number() {
            return Ok(false);
        }
        match tokio::time::timeout(FLOOR_TIMEOUT, self.floors.floor(shard)).await {
            Ok(Ok(floor)) => {
                // Over a new connection there may be another server, with another clock.
                let time = self.link.appends.time().await?;
                self.state(shard).learn_time(time);
                self.raise_floor(shard, floor).await.map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Runs the script that appends. When this fails, the script will not run any more.
    async fn run_append(&self, appends: &[(Shard, &[Entry])]) -> Result<Vec<String>> {
        let sent = tokio::time::Instant::now();
        let keys: Vec<String> =
            appends.iter().flat_map(|(shard, _)| [log::stream_key(*shard), log::notes_key(*shard)]).collect();
        let timeout = self.link.appends.timeout;
        let time = appends.iter().map(|(shard, _)| self.state(*shard).time()).min().unwrap_or_default();
        let deadline = time.plus_ms(timeout.as_millis() as i64);
        let mut args = vec![deadline.ms().to_string()];
        args.extend(appends.iter().map(|(_, entries)| entries.len().to_string()));
        for entry in appends.iter().flat_map(|(_, entries)| *entries) {
            args.extend([entry.encode(), log::note_field(&entry.user, &entry.post), log::note_score(entry)]);
        }
        let error = match self.link.appends.run(&self.append, &keys, args).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        if *error.kind() == fred::error::ErrorKind::Timeout {
            self.link.appends.cut();
        }
        // What was sent may still be executed, until its deadline. Only then "no" is the truth, unless Redis itself
        // said it.
        if !is_answer(&error) {
            tokio::time::sleep_until(sent + timeout).await;
        }
        Err(error.into())
    }

    /// One call for all; an error is that of all.
    async fn append_to(&self, appends: &[(Shard, &[Entry])]) -> Result<Vec<Result<Vec<Position>>>> {
        if !self.link.appends.is_up() {
            return Err(Error::Unavailable(
                "redis is not connected; ratings cannot be held right now".into(),
            ));
        }
        let floors: Vec<Position> = appends.iter().map(|(shard, _)| self.state(*shard).floor).collect();
        let reply = self.run_append(appends).await?;
        let Some((time, mut words)) = reply.split_first() else {
            return Err(Error::Internal("redis answered nothing".into()));
        };
        let time = Time::from_ms(time.parse().unwrap_or_default());
        appends.iter().for_each(|(shard, _)| self.state(*shard).learn_time(time));
        if words.first().is_some_and(|word| word == "late") {
            return Err(Error::Unavailable("redis took too long to append; try again".into()));
        }
        let mut positions = Vec::with_capacity(appends.len());
        for (&(shard, entries), floor) in appends.iter().zip(floors) {
            let is_taken = words.first().is_some_and(|word| log::parse_position(word).is_ok());
            let count = if is_taken { entries.len() } else { 1 };
            let Some((own, rest)) = words.split_at_checked(count) else {
                return Err(Error::Internal(format!("redis answered too little: {} words", reply.len())));
            };
            positions.push(self.appended(shard, own, floor));
            words = rest;
        }
        Ok(positions)
    }

    /// What the script says of a shard: the positions of its entries, or why there are none.
    fn appended(&self, shard: Shard, words: &[String], floor: Position) -> Result<Vec<Position>> {
        match words.first().map(String::as_str) {
            Some("gone") => {
                self.state(shard).connection = 0;
                return Err(Error::Busy("redis has lost this log; it is created again, try again".into()));
            }
            Some(refused) if refused.contains("WRONGTYPE") => {
                return Err(Error::Internal(format!("redis answered: {refused}")));
            }
            _ => {}
        }
        let positions = words.iter().map(|id| log::parse_position(id)).collect::<Result<Vec<_>>>()?;
        if positions.first().is_some_and(|first| *first <= floor) {
            // Another server has taken over, and the client was faster with it than the floor: a drain may have passed these.
            self.state(shard).connection = 0;
            return Err(Error::Busy("redis has taken over with an earlier clock; try again".into()));
        }
        if let Some(last) = positions.last() {
            self.state(shard).learn_position(*last);
        }
        Ok(positions)
    }
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
        self.append_to(&[(shard, entries)]).await?.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    async fn write_all(&self, appends: &[(Shard, &[Entry])]) -> Vec<Result<Vec<Position>>> {
        // In a cluster each shard may live on another server.
        if !self.is_one_place() {
            return join_all(appends.iter().map(|&(shard, entries)| self.write(shard, entries))).await;
        }
        let written = self.append_to(appends).await;
        written.unwrap_or_else(|error| appends.iter().map(|_| Err(error.clone())).collect())
    }

    fn is_one_place(&self) -> bool {
        !self.link.appends.is_clustered()
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>> {
        self.state(shard).learn_position(from);
        let mut lines: Vec<Line> = Vec::new();
        while lines.len() < limit {
            let after = lines.last().map_or(from, |line| line.position);
            let count = (limit - lines.len()).min(READ_ENTRIES_MAX);
            let (key, start) = (log::stream_key(shard), format!("({after}"));
            let read = |client: Client| async move {
                client.xrange_values(key, start, "+", Some(count as u64)).await
            };
            let rows: Vec<(String, HashMap<Bytes, Bytes>)> = self.link.drains.ask(read).await?;
            let is_end = rows.len() < count;
            for (id, fields) in rows {
                let position = log::parse_position(&id)?;
                lines.push(Line { position, entry: log::parse_line(fields) });
            }
            if is_end {
                break;
            }
        }
        Ok(Batch::of(shard, from, lines))
    }

    async fn trim(&self, shard: Shard, through: Position) -> Result<()> {
        self.state(shard).learn_position(through);
        let keys = [log::stream_key(shard), log::notes_key(shard), log::older_notes_key(shard)];
        self.link.drains.call(&self.trim, &keys, vec![log::next(through).to_string()]).await
    }

    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog> {
        self.state(shard).learn_position(from);
        let (key, from) = ([log::stream_key(shard)], vec![from.to_string()]);
        let (waiting, first, appends, last): (u64, String, u64, String) =
            self.link.drains.call(&self.backlog, &key, from).await?;
        let oldest = Position::parse(&first).map(|first| Time::from_ms(first.high as i64));
        Ok(Backlog { waiting, oldest, appends, last: log::parse_position(&last)? })
    }

    async fn waiting_of(&self, asked: &[(PostId, UserId)]) -> Result<Vec<Option<Waiting>>> {
        let mut shards: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        for (i, (post, _)) in asked.iter().enumerate() {
            shards.entry(Shard::of(post, self.shard_count)).or_default().push(i);
        }
        let asking = shards.into_iter().map(|(shard, places)| async move {
            let field = |&i: &usize| log::note_field(&asked[i].1, &asked[i].0);
            let fields = places.iter().map(field).collect();
            let keys = [log::notes_key(shard), log::older_notes_key(shard)];
            let found: Vec<String> = self.link.reads.call(&self.waiting_of, &keys, fields).await?;
            Ok::<_, Error>(places.into_iter().zip(found))
        });
        let mut waiting = vec![None; asked.len()];
        for (i, note) in try_join_all(asking).await?.into_iter().flatten() {
            waiting[i] = log::parse_note(&note);
        }
        Ok(waiting)
    }

    async fn raise_floor(&self, shard: Shard, floor: Floor) -> Result<()> {
        // Over the connection of the appends: another one may lead to another server. Its number before the call: it may
        // be replaced meanwhile.
        let connection = self.link.appends.connection_number();
        self.state(shard).learn_position(floor.position);
        let args = vec![self.state(shard).floor.to_string(), floor.appends.to_string()];
        let _: i64 = self.link.appends.call(&self.floor, &[log::stream_key(shard)], args).await?;
        self.state(shard).connection = connection;
        Ok(())
    }

    async fn describe(&self) -> Result<String> {
        let health = RedisHealth::ask(&self.link).await?;
        let version = health.version().unwrap_or("of unknown version");
        let kept = match health.keeping() {
            Keeping::Log(Some(fsync)) => format!("appendfsync {fsync}"),
            Keeping::Log(None) | Keeping::Unknown => "durability unknown".into(),
            Keeping::Nothing | Keeping::Snapshots { .. } | Keeping::NoLog => "no append-only file".into(),
        };
        Ok(format!("redis {version} ({} shards, {kept})", self.shard_count))
    }
}
