//! The same tests for every buffer: the Redis streams and the SQLite table, each alone and behind group commit.

mod group;
mod redis;
mod sqlite;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use damper::Error;
use damper::buffer::group::Grouped;
use damper::buffer::redis::RedisBuffer;
use damper::buffer::sqlite::SqliteBuffer;
use damper::buffer::{Buffer, Floors, Waiting};
use damper::database::sqlite::SqliteFile;
use damper::entry::{Action, Entry, Floor, Position, Shard};
use damper::model::{Score, UserId};
use damper::redis::link::RedisLink;
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::support::log::{START, entry, post_id};
use crate::support::world::World;

/// The only shard of a SQLite file; one of sixteen in Redis.
const SHARD: Shard = Shard(0);
/// A post that lives there.
const POST: &str = "page";
const APPEND_TIMEOUT: Duration = Duration::from_millis(800);

/// A buffer and the world that it stands in.
struct Engine {
    world: World,
    buffer: Arc<dyn Buffer>,
    shards: u16,
    floors: Arc<Merged>,
}

/// What a store would say of the checkpoints, the same of every shard; nothing while it does not answer.
struct Merged(Mutex<Option<Position>>);

impl Default for Merged {
    fn default() -> Self {
        Self(Mutex::new(Some(Position::START)))
    }
}

impl Merged {
    fn set(&self, floor: Option<Position>) {
        *self.0.lock().unwrap() = floor;
    }
}

#[async_trait]
impl Floors for Merged {
    async fn floor(&self, _: Shard) -> damper::Result<Floor> {
        let position = self.0.lock().unwrap().ok_or_else(|| Error::Unavailable("no answer".into()))?;
        Ok(Floor { position, appends: 0 })
    }
}

impl Engine {
    async fn redis() -> Self {
        let world = World::servers();
        let link = RedisLink::open(&world.config().redis_url, APPEND_TIMEOUT).await.expect("redis answers");
        let floors = Arc::new(Merged::default());
        let buffer = RedisBuffer::open(Arc::new(link), 16, floors.clone()).await;
        Self { world, buffer: Arc::new(buffer.expect("redis answers")), shards: 16, floors }
    }

    async fn sqlite() -> Self {
        let world = World::embedded();
        let config = world.config();
        let file = SqliteFile::open(&config.data, &config.store).await.expect("the file opens");
        let buffer = SqliteBuffer::new(Arc::new(file), APPEND_TIMEOUT);
        Self { world, buffer: Arc::new(buffer), shards: 1, floors: Arc::default() }
    }

    fn grouped(self) -> Self {
        Self { buffer: Arc::new(Grouped::new(self.buffer, 2_000)), ..self }
    }

    async fn append(&self, entries: &[Entry]) -> Vec<Position> {
        let mut positions = Vec::new();
        for group in entries.chunks(self.buffer.append_max()) {
            positions.extend(self.buffer.append(SHARD, group, None).await.expect("the buffer appends"));
        }
        positions
    }

    /// Everything after `from`.
    async fn read(&self, from: Position) -> Vec<(Position, Entry)> {
        let batch = self.buffer.read(SHARD, from, 10_000).await.expect("the buffer reads");
        let lines = batch.map(|batch| batch.lines).unwrap_or_default();
        lines.into_iter().map(|line| (line.position, line.entry.expect("an entry"))).collect()
    }

    /// Puts a line into the log that no append would.
    fn inject(&self, payload: &[u8]) {
        if self.world.is_embedded() {
            let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            self.world.db().change(&format!(
                "insert into buffer (position, payload) select last + 1, x'{hex}' from buffer_head;
                 update buffer_head set last = last + 1, appends = appends + 1"
            ));
        } else {
            self.world.redis().command_bytes(&[b"XADD", b"damper:{0}:ratings", b"*", b"e", payload]);
        }
    }
}

/// Here nothing is taken from the queue until the test waits, since there is one thread.
#[tokio::test]
async fn a_queued_append_whose_caller_has_gone_is_not_appended() {
    for engine in [Engine::redis().await.grouped(), Engine::sqlite().await.grouped()] {
        let entries = ratings(3);
        let mut appends: Vec<_> = entries
            .iter()
            .map(|entry| engine.buffer.append(SHARD, std::slice::from_ref(entry), None))
            .collect();
        for append in &mut appends {
            assert!(append.now_or_never().is_none(), "it waits in the queue");
        }
        drop(appends.remove(1));
        let held: Vec<Position> =
            join_all(appends).await.into_iter().map(|positions| positions.expect("it is held")[0]).collect();
        let expected = [(held[0], entries[0].clone()), (held[1], entries[2].clone())];
        assert_eq!(engine.read(Position::START).await, expected);
    }
}

/// Makes a test of each function on each engine.
macro_rules! on_every_buffer {
    ($($name:ident),* $(,)?) => {
        on_every_buffer!(@ redis_alone, super::Engine::redis().await, $($name),*);
        on_every_buffer!(@ redis_grouped, super::Engine::redis().await.grouped(), $($name),*);
        on_every_buffer!(@ sqlite_alone, super::Engine::sqlite().await, $($name),*);
        on_every_buffer!(@ sqlite_grouped, super::Engine::sqlite().await.grouped(), $($name),*);
    };
    (@ $engine:ident, $open:expr, $($name:ident),*) => {
        mod $engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($open).await;
            })*
        }
    };
}

on_every_buffer!(
    entries_come_back_as_they_went_in,
    an_empty_log_is_empty_in_every_answer,
    a_read_takes_the_oldest_up_to_its_limit,
    positions_go_on_above_when_everything_is_trimmed,
    a_trim_forgets_up_to_its_position_and_no_more,
    the_backlog_counts_what_waits_beside_what_is_merged,
    the_newest_entry_of_a_user_and_post_waits,
    what_waits_comes_in_the_order_asked,
    appends_at_once_get_positions_of_their_own_in_each_callers_order,
    an_append_of_nothing_is_nothing,
    a_large_append_comes_in_whole,
    a_line_that_cannot_be_read_comes_out_with_its_bytes,
);

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("a user id")
}

/// `count` ratings by different users.
fn ratings(count: i64) -> Vec<Entry> {
    (0..count).map(|i| entry(POST, &format!("u{i}"), Some(i % 6), START.plus_ms(i))).collect()
}

async fn entries_come_back_as_they_went_in(engine: Engine) {
    let mut entries = ratings(6);
    entries.push(entry(POST, "u0", None, START.plus_ms(-1)));
    entries.push(entry("a|b+c=d~e:f.g_h-i@j", &"x".repeat(64), Some(0), START));
    let positions = engine.append(&entries).await;
    assert!(positions.is_sorted_by(|a, b| a < b) && positions[0] > Position::START, "{positions:?}");
    let expected: Vec<_> = positions.into_iter().zip(entries).collect();
    assert_eq!(engine.read(Position::START).await, expected);
}

async fn an_empty_log_is_empty_in_every_answer(engine: Engine) {
    assert!(engine.buffer.read(SHARD, Position::START, 10).await.unwrap().is_none());
    engine.buffer.trim(SHARD, Position::START).await.unwrap();
    let backlog = engine.buffer.backlog(SHARD, Position::START).await.unwrap();
    assert_eq!((backlog.waiting, backlog.oldest, backlog.appends), (0, None, 0));
    assert_eq!(backlog.last, Position::START);
    assert_eq!(engine.buffer.waiting_of(&[(post_id(POST), user("ann"))]).await.unwrap(), [None]);
}

async fn a_read_takes_the_oldest_up_to_its_limit(engine: Engine) {
    let positions = engine.append(&ratings(7)).await;
    let batch = engine.buffer.read(SHARD, positions[1], 3).await.unwrap().expect("a batch");
    let read: Vec<_> = batch.lines.iter().map(|line| line.position).collect();
    assert_eq!(read, positions[2..5]);
    assert_eq!((batch.shard, batch.from, batch.to), (SHARD, positions[1], positions[4]));
    assert!(engine.buffer.read(SHARD, positions[6], 3).await.unwrap().is_none());
}

async fn positions_go_on_above_when_everything_is_trimmed(engine: Engine) {
    let first = engine.append(&ratings(3)).await;
    engine.buffer.trim(SHARD, first[2]).await.unwrap();
    assert_eq!(engine.read(Position::START).await, []);
    let backlog = engine.buffer.backlog(SHARD, first[2]).await.unwrap();
    assert_eq!((backlog.waiting, backlog.appends, backlog.last), (0, 3, first[2]));
    let second = engine.append(&ratings(2)).await;
    assert!(second[0] > first[2], "{second:?} after {first:?}");
    assert_eq!(engine.read(first[2]).await.len(), 2);
}

async fn a_trim_forgets_up_to_its_position_and_no_more(engine: Engine) {
    let positions = engine.append(&ratings(5)).await;
    for _ in 0..2 {
        engine.buffer.trim(SHARD, positions[2]).await.unwrap();
        let left: Vec<_> = engine.read(Position::START).await.into_iter().map(|(at, _)| at).collect();
        assert_eq!(left, positions[3..]);
    }
    engine.buffer.trim(SHARD, positions[0]).await.unwrap();
    assert_eq!(engine.read(Position::START).await.len(), 2, "a late trim restores nothing");
}

async fn the_backlog_counts_what_waits_beside_what_is_merged(engine: Engine) {
    let positions = engine.append(&ratings(1_234)).await;
    let look = async |from| engine.buffer.backlog(SHARD, from).await.unwrap();
    let all = look(Position::START).await;
    assert_eq!((all.waiting, all.appends, all.last), (1_234, 1_234, positions[1_233]));
    assert!(all.oldest.is_some());
    // Merged and not trimmed yet: the log still holds them, and they do not wait.
    let merged = look(positions[1_099]).await;
    assert_eq!((merged.waiting, merged.appends), (134, 1_234));
    engine.buffer.trim(SHARD, positions[1_099]).await.unwrap();
    assert_eq!(look(positions[1_099]).await, merged);
    let none = look(positions[1_233]).await;
    assert_eq!((none.waiting, none.oldest, none.appends), (0, None, 1_234));
}

async fn the_newest_entry_of_a_user_and_post_waits(engine: Engine) {
    let ask =
        async |who: &str| engine.buffer.waiting_of(&[(post_id(POST), user(who))]).await.unwrap().remove(0);
    let rate = async |who: &str, score| engine.append(&[entry(POST, who, score, START)]).await[0];
    let score = |score| Action::Rate(Score::parse(score).unwrap());
    let first = rate("ann", Some(0)).await;
    assert_eq!(ask("ann").await, Some(Waiting { position: first, action: score(0) }));
    assert_eq!(ask("bob").await, None);
    let second = rate("ann", Some(4)).await;
    assert_eq!(ask("ann").await, Some(Waiting { position: second, action: score(4) }));
    let third = rate("ann", None).await;
    assert_eq!(ask("ann").await, Some(Waiting { position: third, action: Action::Withdraw }));
    let both = [entry(POST, "ann", Some(1), START), entry(POST, "ann", Some(2), START)];
    let last = engine.append(&both).await[1];
    assert_eq!(ask("ann").await, Some(Waiting { position: last, action: score(2) }));
    engine.buffer.trim(SHARD, third).await.unwrap();
    assert_eq!(ask("ann").await, Some(Waiting { position: last, action: score(2) }));
    engine.buffer.trim(SHARD, last).await.unwrap();
    assert_eq!(ask("ann").await, None);
}

async fn what_waits_comes_in_the_order_asked(engine: Engine) {
    let ids: Vec<_> = (0..40).map(|i| post_id(&format!("post{i}"))).collect();
    for id in ids.iter().step_by(2) {
        let shard = Shard::of(id, engine.shards);
        let rating = entry(id.as_str(), "ann", Some(5), START);
        engine.buffer.append(shard, &[rating], None).await.unwrap();
    }
    let mut asked = ids.clone();
    asked.reverse();
    asked.push(ids[0].clone());
    let asked: Vec<_> = asked.into_iter().map(|id| (id, user("ann"))).collect();
    let found = engine.buffer.waiting_of(&asked).await.unwrap();
    let waits: Vec<bool> = found.iter().map(Option::is_some).collect();
    let expected: Vec<bool> = (0..40).rev().map(|i| i % 2 == 0).chain([true]).collect();
    assert_eq!(waits, expected);
    assert_eq!(engine.buffer.waiting_of(&[]).await.unwrap(), []);
}

async fn appends_at_once_get_positions_of_their_own_in_each_callers_order(engine: Engine) {
    const CALLERS: usize = 12;
    const APPENDS: usize = 15;
    let callers = (0..CALLERS).map(|caller| {
        let buffer = engine.buffer.clone();
        tokio::spawn(async move {
            let mut own = Vec::new();
            for i in 0..APPENDS {
                let entries = [0, 1].map(|part| {
                    entry(POST, &format!("caller{caller}-{i}-{part}"), Some(i as i64 % 6), START)
                });
                let positions = buffer.append(SHARD, &entries, None).await.expect("the buffer appends");
                own.extend(positions.into_iter().zip(entries));
            }
            own
        })
    });
    let mut all = Vec::new();
    for caller in futures_util::future::join_all(callers).await {
        let own = caller.unwrap();
        assert!(
            own.is_sorted_by(|a, b| a.0 < b.0),
            "a later append of a caller stands behind an earlier one"
        );
        all.extend(own);
    }
    all.sort_by_key(|(position, _)| *position);
    assert_eq!(all.len(), CALLERS * APPENDS * 2);
    assert_eq!(engine.read(Position::START).await, all, "each position holds the entry of its caller");
}

async fn an_append_of_nothing_is_nothing(engine: Engine) {
    assert_eq!(engine.append(&[]).await, []);
    assert_eq!(engine.buffer.backlog(SHARD, Position::START).await.unwrap().appends, 0);
}

async fn a_large_append_comes_in_whole(engine: Engine) {
    let entries = ratings(engine.buffer.append_max() as i64);
    let positions = engine.append(&entries).await;
    assert!(positions.is_sorted_by(|a, b| a < b));
    assert_eq!(engine.read(Position::START).await, positions.into_iter().zip(entries).collect::<Vec<_>>());
}

async fn a_line_that_cannot_be_read_comes_out_with_its_bytes(engine: Engine) {
    let poison: [&[u8]; 4] = [b"", b"2 r p ann 5 1790000000000", b"\xff\xfe\0", &[b'x'; 2_000]];
    let mut expected = Vec::new();
    for bytes in poison {
        engine.append(&ratings(1)).await;
        engine.inject(bytes);
        expected.extend([Ok(ratings(1).remove(0)), Err(bytes.to_vec())]);
    }
    engine.append(&ratings(1)).await;
    let batch = engine.buffer.read(SHARD, Position::START, 100).await.unwrap().expect("a batch");
    let positions: Vec<_> = batch.lines.iter().map(|line| line.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b) && positions.len() == 9);
    let found = batch.lines.into_iter().map(|line| line.entry.map_err(|bad| bad.payload));
    assert_eq!(found.take(8).collect::<Vec<_>>(), expected);
    let backlog = engine.buffer.backlog(SHARD, Position::START).await.unwrap();
    assert_eq!((backlog.waiting, backlog.appends), (9, 9), "they wait and count as all others");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_above_the_limit_is_refused_whole() {
    for engine in [Engine::redis().await.grouped(), Engine::sqlite().await.grouped()] {
        let too_many = ratings(engine.buffer.append_max() as i64 + 1);
        let refused = engine.buffer.append(SHARD, &too_many, None).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
        assert_eq!(engine.buffer.backlog(SHARD, Position::START).await.unwrap().appends, 0);
    }
}
