//! The buffer of the server set-up: one Redis stream per shard, `damper:{<shard>}:ratings`.
//!
//! A stream's ids are the positions. An append is one script, so that the entries and the notes for readers
//! (`waiting_of`) come together; the notes lie in one hash per five minutes, dropped whole once they are merged.
//! Two rules keep the order true when clocks and connections do not: no id at or below the highest position
//! that is known (the *floor*), kept by the stream itself once it was told, and no append after its deadline, in
//! Redis' own time. A stream that is gone takes nothing until it is made anew with its floor.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fred::bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::StreamsInterface;
use fred::types::scripts::Script;
use futures_util::future::try_join_all;

use super::{Buffer, Waiting};
use crate::entry::{Action, Backlog, Batch, Entry, Line, Position, Shard, Undecodable};
use crate::error::{Error, Result};
use crate::model::{PostId, Score, Time, UserId};
use crate::redis::link::{RedisLink, is_answer};

/// The only field of a stream's entries.
const FIELD: &str = "e";
/// A script of so many entries takes Redis a few milliseconds, in which it does nothing else.
const APPEND_ENTRIES_MAX: usize = 1_000;
/// The same for what one command reads.
const READ_ENTRIES_MAX: usize = 4_000;
/// Clocks of this process and of Redis may differ by this much.
const CLOCK_DIFFERENCE_MAX_MS: i64 = 60_000;
/// Notes of so many milliseconds share a hash.
const STRETCH_MS: &str = "300000";
/// Stands for a withdrawal where a note has a score.
const WITHDRAWN: &str = "w";

/// The logs in Redis.
pub struct RedisBuffer {
    link: Arc<RedisLink>,
    shard_count: u16,
    append_timeout: Duration,
    shards: Vec<Mutex<Known>>,
    scripts: Scripts,
}

/// What is known of a shard's place in Redis; in a cluster each may live on another server.
struct Known {
    /// The highest position.
    floor: Position,
    /// The connection, by its number, over which the stream was told its floor; 0 when it must be told.
    connection: u64,
    /// The server's time, and when it was learned.
    time: Time,
    learned: Instant,
}

struct Scripts {
    append: Script,
    floor: Script,
    trim: Script,
    backlog: Script,
    waiting_of: Script,
}

impl RedisBuffer {
    /// The logs of `shard_count` shards. Asks Redis for its time.
    pub async fn open(link: Arc<RedisLink>, shard_count: u16, append_timeout: Duration) -> Result<Self> {
        let (time, learned) = (ask_time(&link).await?, Instant::now());
        let known = |_| Mutex::new(Known { floor: Position::START, connection: 0, time, learned });
        Ok(Self {
            link,
            shard_count,
            append_timeout,
            shards: (0..shard_count).map(known).collect(),
            scripts: Scripts {
                append: Script::from_lua(include_str!("append.lua")),
                floor: Script::from_lua(include_str!("floor.lua")),
                trim: Script::from_lua(include_str!("trim.lua")),
                backlog: Script::from_lua(include_str!("backlog.lua")),
                waiting_of: Script::from_lua(include_str!("waiting_of.lua")),
            },
        })
    }

    fn known(&self, shard: Shard) -> MutexGuard<'_, Known> {
        self.shards[shard.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis' time now, as far as its last reply tells: never ahead of it while its clock goes on.
    fn redis_now(&self, shard: Shard) -> Time {
        let known = self.known(shard);
        known.time.plus_ms(known.learned.elapsed().as_millis() as i64)
    }

    fn learn_time(&self, shard: Shard, time: Time) {
        let mut known = self.known(shard);
        (known.time, known.learned) = (time, Instant::now());
    }

    /// Remembers a position that exists.
    fn learn_position(&self, shard: Shard, position: Position) {
        let mut known = self.known(shard);
        known.floor = known.floor.max(position);
    }

    fn clock_difference_ms(&self, shard: Shard, now: Time) -> i64 {
        (now.ms() - self.redis_now(shard).ms()).abs()
    }

    fn append_args(&self, shard: Shard, entries: &[Entry]) -> Vec<String> {
        let deadline = self.redis_now(shard).plus_ms(self.append_timeout.as_millis() as i64);
        let mut args = Vec::with_capacity(2 + 3 * entries.len());
        args.extend([deadline.ms().to_string(), STRETCH_MS.into()]);
        for entry in entries {
            // A retry does not stand for what the user wants now.
            let score = match (entry.origin, &entry.action) {
                (Some(_), _) | (None, Action::Decide(_) | Action::Release(_)) => String::new(),
                (None, Action::Rate(score)) => score.to_string(),
                (None, Action::Withdraw) => WITHDRAWN.into(),
            };
            args.extend([entry.encode(), note_key(&entry.user, &entry.post), score]);
        }
        args
    }
}

async fn ask_time(link: &RedisLink) -> Result<Time> {
    let (seconds, micros): (i64, i64) = link.reads.command("TIME", &[]).await?;
    Ok(Time::from_ms(seconds.saturating_mul(1_000).saturating_add(micros / 1_000)))
}

fn stream(shard: Shard) -> String {
    format!("damper:{{{shard}}}:ratings")
}

/// The set of stretches; each stretch's hash is named after it.
fn notes(shard: Shard) -> String {
    format!("damper:{{{shard}}}:newest")
}

/// A space lies outside the alphabet of ids.
fn note_key(user: &UserId, post: &PostId) -> String {
    format!("{user} {post}")
}

/// The lowest position above `position`.
fn next(position: Position) -> Position {
    match position.low.checked_add(1) {
        Some(low) => Position { low, ..position },
        None => Position::new(position.high.saturating_add(1), 0),
    }
}

fn parse_position(text: &str) -> Result<Position> {
    Position::parse(text).ok_or_else(|| Error::Internal(format!("redis answered {text:?} for a stream id")))
}

fn parse_note(note: &str) -> Option<Waiting> {
    let (position, score) = note.split_once(' ')?;
    let action = match score {
        WITHDRAWN => Action::Withdraw,
        score => Action::Rate(Score::parse(score.parse().ok()?).ok()?),
    };
    Some(Waiting { position: Position::parse(position)?, action })
}

/// Reads a stream's fields: exactly one, `e`, or it was not we who wrote it.
fn parse_line(mut fields: HashMap<Bytes, Bytes>) -> Result<Entry, Undecodable> {
    match (fields.remove(FIELD.as_bytes()), fields.is_empty()) {
        (Some(payload), true) => Entry::decode(&payload),
        (payload, _) => {
            let mut all: Vec<_> = fields.into_iter().collect();
            all.extend(payload.map(|payload| (Bytes::from_static(FIELD.as_bytes()), payload)));
            all.sort();
            let payload =
                all.iter().flat_map(|(field, value)| [field.as_ref(), b"=", value.as_ref(), b"\n"].concat());
            Err(Undecodable {
                reason: "entry has other fields than \"e\"".into(),
                payload: payload.collect(),
            })
        }
    }
}

#[async_trait]
impl Buffer for RedisBuffer {
    fn append_max(&self) -> usize {
        APPEND_ENTRIES_MAX
    }

    async fn append(&self, shard: Shard, entries: &[Entry]) -> Result<Vec<Position>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        if !self.link.can_append() {
            return Err(Error::Unavailable(
                "redis is not connected; ratings cannot be held right now".into(),
            ));
        }
        let sent = tokio::time::Instant::now();
        let keys = [stream(shard), notes(shard)];
        let args = self.append_args(shard, entries);
        let reply: Result<Vec<String>, _> = self.link.append(&self.scripts.append, &keys, args).await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                if *error.kind() == fred::error::ErrorKind::Timeout {
                    self.link.cut_appends().await;
                }
                // What was sent may still be executed, until its deadline. Only then is "no" the truth, unless
                // Redis itself said it.
                if !is_answer(&error) {
                    tokio::time::sleep_until(sent + self.append_timeout).await;
                }
                return Err(error.into());
            }
        };
        let (time, ids) =
            reply.split_first().ok_or_else(|| Error::Internal("redis answered nothing".into()))?;
        self.learn_time(shard, Time::from_ms(time.parse().unwrap_or_default()));
        match ids.first().map(String::as_str) {
            Some("late") => {
                return Err(Error::Unavailable("redis took too long to append; try again".into()));
            }
            Some("gone") => {
                self.known(shard).connection = 0;
                return Err(Error::Busy("redis has lost this log; it is made anew, try again".into()));
            }
            _ => {}
        }
        let positions = ids.iter().map(|id| parse_position(id)).collect::<Result<Vec<_>>>()?;
        if let Some(last) = positions.last() {
            self.learn_position(shard, *last);
        }
        Ok(positions)
    }

    async fn read(&self, shard: Shard, from: Position, limit: usize) -> Result<Option<Batch>> {
        self.learn_position(shard, from);
        let mut lines: Vec<Line> = Vec::new();
        while lines.len() < limit {
            let after = lines.last().map_or(from, |line| line.position);
            let count = (limit - lines.len()).min(READ_ENTRIES_MAX);
            let (key, start) = (stream(shard), format!("({after}"));
            let read = |client: Client| async move {
                client.xrange_values(key, start, "+", Some(count as u64)).await
            };
            let rows: Vec<(String, HashMap<Bytes, Bytes>)> = self.link.drains.ask(read).await?;
            let is_end = rows.len() < count;
            for (id, fields) in rows {
                lines.push(Line { position: parse_position(&id)?, entry: parse_line(fields) });
            }
            if is_end {
                break;
            }
        }
        Ok(Batch::of(shard, from, lines))
    }

    async fn trim(&self, shard: Shard, through: Position) -> Result<()> {
        self.learn_position(shard, through);
        let keep = next(through);
        let args = vec![keep.to_string(), keep.high.to_string(), STRETCH_MS.into()];
        self.link.drains.call(&self.scripts.trim, &[stream(shard), notes(shard)], args).await
    }

    async fn backlog(&self, shard: Shard, from: Position) -> Result<Backlog> {
        self.learn_position(shard, from);
        let (waiting, first, appends, last): (u64, String, u64, String) =
            self.link.drains.call(&self.scripts.backlog, &[stream(shard)], vec![from.to_string()]).await?;
        let oldest = Position::parse(&first).map(|first| Time::from_ms(first.high as i64));
        Ok(Backlog { waiting, oldest, appends, last: parse_position(&last)? })
    }

    async fn waiting_of(&self, user: &UserId, posts: &[PostId]) -> Result<Vec<Option<Waiting>>> {
        let mut shards: BTreeMap<Shard, Vec<usize>> = BTreeMap::new();
        for (i, post) in posts.iter().enumerate() {
            shards.entry(Shard::of(post, self.shard_count)).or_default().push(i);
        }
        let asking = shards.into_iter().map(|(shard, asked)| async move {
            let args = asked.iter().map(|&i| note_key(user, &posts[i])).collect();
            let found: Vec<String> =
                self.link.reads.call(&self.scripts.waiting_of, &[notes(shard)], args).await?;
            Ok::<_, Error>(asked.into_iter().zip(found))
        });
        let mut waiting = vec![None; posts.len()];
        for (i, note) in try_join_all(asking).await?.into_iter().flatten() {
            waiting[i] = parse_note(&note);
        }
        Ok(waiting)
    }

    async fn check_clock(&self, shard: Shard, now: Time) -> Result<()> {
        if self.clock_difference_ms(shard, now) <= CLOCK_DIFFERENCE_MAX_MS {
            return Ok(());
        }
        // One of the two was set, or this machine slept: what was learned may be old.
        self.learn_time(shard, ask_time(&self.link).await?);
        match self.clock_difference_ms(shard, now) {
            ..=CLOCK_DIFFERENCE_MAX_MS => Ok(()),
            ms => Err(Error::Unavailable(format!(
                "this machine's clock and redis' differ by {} s; set the wrong one right",
                ms / 1_000
            ))),
        }
    }

    fn needs_floor(&self, shard: Shard) -> bool {
        self.known(shard).connection != self.link.append_connection()
    }

    async fn raise_floor(&self, shard: Shard, floor: Position) -> Result<()> {
        // Before the call: a connection that is lost meanwhile may lead to another Redis.
        let connection = self.link.append_connection();
        self.learn_position(shard, floor);
        let floor = self.known(shard).floor.to_string();
        let _: i64 = self.link.drains.call(&self.scripts.floor, &[stream(shard)], vec![floor]).await?;
        self.known(shard).connection = connection;
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

impl RedisBuffer {
    /// A setting of the server, where it tells (managed ones may not).
    async fn setting(&self, name: &'static str) -> Option<String> {
        let pair: Vec<String> = self.link.reads.command("CONFIG", &["GET", name]).await.ok()?;
        pair.into_iter().nth(1)
    }
}

/// The key that says whose Redis this is.
const META: &str = "damper:meta";

/// Puts this installation's name and number of shards on an unstamped Redis.
///
/// # Errors
/// [`Error::Config`] when it bears another's.
pub async fn stamp(link: &RedisLink, id: &str, shard_count: u16) -> Result<()> {
    let script = Script::from_lua(include_str!("stamp.lua"));
    let own = vec![id.to_owned(), shard_count.to_string()];
    let found: Vec<String> = link.drains.call(&script, &[META.to_owned()], own.clone()).await?;
    if found == own {
        return Ok(());
    }
    Err(Error::Config(format!(
        "this redis belongs to another installation (found {}, expected {}): DAMPER_REDIS_URL and \
         DAMPER_DATABASE_URL must name a pair. Restored or replaced the database on purpose? Then drain or \
         delete the old ratings in redis and its key {META}",
        found.join(" with shards "),
        own.join(" with shards ")
    )))
}
