//! What only the Redis buffer promises: order when clocks and connections do not keep it, and whose Redis it is.

use std::sync::Arc;

use damper::Error;
use damper::buffer::Buffer;
use damper::buffer::redis::{RedisBuffer, stamp};
use damper::entry::{Floor, Position};
use damper::model::Time;
use damper::redis::link::RedisLink;

use super::{APPEND_TIMEOUT, Engine, POST, SHARD, ratings, user};
use crate::support::log::post_id;
use crate::support::redis::Reply;
use crate::support::until;

const STREAM: &str = "damper:{0}:ratings";
/// The year 2096: a floor that Redis' clock has not reached.
const FAR: Position = Position::new(4_000_000_000_000, 7);

fn above(position: Position) -> Floor {
    Floor { position, appends: 0 }
}

async fn link(engine: &Engine) -> Arc<RedisLink> {
    let url = engine.world.config().redis_url;
    Arc::new(RedisLink::open(&url, APPEND_TIMEOUT).await.expect("redis answers"))
}

/// A buffer of another process on the same Redis.
async fn another(engine: &Engine) -> RedisBuffer {
    let floors = engine.floors.clone();
    RedisBuffer::open(link(engine).await, 16, floors).await.expect("redis answers")
}

fn stream_length(engine: &Engine) -> i64 {
    engine.world.redis().command(&["XLEN", STREAM]).int()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_stands_above_a_floor_that_lies_in_the_future() {
    let engine = Engine::redis().await;
    let before = engine.append(&ratings(2)).await;
    engine.buffer.raise_floor(SHARD, above(FAR)).await.unwrap();
    let after = engine.append(&ratings(3)).await;
    assert!(before[1] < FAR && after[0] > FAR && after.is_sorted_by(|a, b| a < b), "{after:?}");
    let later = engine.append(&ratings(1)).await;
    assert!(later[0] > after[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_were_seen_raise_the_next_floor_too() {
    let engine = Engine::redis().await;
    assert!(engine.buffer.read(SHARD, FAR, 1).await.unwrap().is_none());
    let further = Position::new(FAR.high + 1, u64::MAX);
    engine.buffer.trim(SHARD, further).await.unwrap();
    engine.buffer.raise_floor(SHARD, above(FAR)).await.unwrap();
    assert!(engine.append(&ratings(1)).await[0] > further);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_that_the_stream_has_passed_is_no_obstacle() {
    let engine = Engine::redis().await;
    let other = another(&engine).await;
    other.raise_floor(SHARD, above(Position::new(FAR.high + 10, 0))).await.unwrap();
    let ahead = other.append(SHARD, &ratings(1), None).await.unwrap()[0];
    engine.buffer.raise_floor(SHARD, above(FAR)).await.unwrap();
    assert!(engine.append(&ratings(2)).await[0] > ahead, "the stream stands above the floor already");
}

/// As a server does that has taken over, with an earlier clock: the client may be connected to it before the floor is set.
#[tokio::test(flavor = "multi_thread")]
async fn no_append_is_acknowledged_at_a_place_that_was_taken_before() {
    let engine = Engine::redis().await;
    engine.buffer.raise_floor(SHARD, above(FAR)).await.unwrap();
    let before = engine.append(&ratings(1)).await[0];
    engine.world.redis().command(&["DEL", STREAM]);
    engine.world.redis().command(&["XGROUP", "CREATE", STREAM, "other", "$", "MKSTREAM"]);
    let after = engine.append(&ratings(1)).await[0];
    assert!(after > before, "{after} {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_noted_above_the_clock_is_found_and_forgotten_like_all_else() {
    let engine = Engine::redis().await;
    engine.buffer.raise_floor(SHARD, above(FAR)).await.unwrap();
    let at = engine.append(&ratings(1)).await[0];
    let ask = async || engine.buffer.waiting_of(&[(post_id(POST), user("u0"))]).await.unwrap().remove(0);
    assert_eq!(ask().await.map(|waiting| waiting.position), Some(at));
    engine.buffer.trim(SHARD, at).await.unwrap();
    assert_eq!(ask().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_are_kept_until_their_entries_are_merged_and_no_longer() {
    let engine = Engine::redis().await;
    let notes = || engine.world.redis().command(&["KEYS", "damper:{0}:*notes"]).texts().len();
    let noted = async |user: usize| {
        let found =
            engine.buffer.waiting_of(&[(post_id(POST), self::user(&format!("u{user}")))]).await.unwrap();
        found[0].as_ref().map(|waiting| waiting.position)
    };
    let mut held = engine.append(&ratings(3)).await;
    // Each time all is merged but the newest.
    for round in 1..4 {
        let newest = held.pop().unwrap();
        engine.buffer.trim(SHARD, held[held.len() - 1]).await.unwrap();
        assert_eq!(noted(2).await, Some(newest), "round {round}");
        held = [vec![newest], engine.append(&ratings(3)).await].concat();
        assert_eq!(noted(2).await, held.last().copied(), "the newer note wins");
        assert_eq!(notes(), 2, "round {round}");
    }
    engine.buffer.trim(SHARD, held[3]).await.unwrap();
    assert_eq!((notes(), noted(2).await), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let engine = Engine::redis().await;
    let first = engine.append(&ratings(1)).await[0];
    engine.world.redis().command(&["SCRIPT", "FLUSH"]);
    assert!(engine.append(&ratings(1)).await[0] > first);
    engine.world.redis().command(&["SCRIPT", "FLUSH"]);
    assert_eq!(engine.buffer.backlog(SHARD, Position::START).await.unwrap().waiting, 2);
    engine.world.redis().command(&["SCRIPT", "FLUSH"]);
    engine.buffer.trim(SHARD, first).await.unwrap();
    engine.world.redis().command(&["SCRIPT", "FLUSH"]);
    let waiting = engine.buffer.waiting_of(&[(post_id(POST), user("u0"))]).await;
    assert!(waiting.unwrap()[0].is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_redis_took_too_late_never_takes_effect() {
    let engine = Engine::redis().await;
    engine.append(&ratings(1)).await;
    let pause_ms = (APPEND_TIMEOUT.as_millis() * 2).to_string();
    engine.world.redis().command(&["CLIENT", "PAUSE", &pause_ms, "WRITE"]);
    let refused = engine.buffer.append(SHARD, &ratings(1), None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    engine.world.redis().command(&["CLIENT", "UNPAUSE"]);
    // Whatever still lay in a socket has been executed, or refused, when this one has.
    until("redis to take writes", || engine.world.redis().command(&["SET", "x", "y"]) != Reply::Nil);
    assert_eq!(stream_length(&engine), 1);
    let mut appended = engine.buffer.append(SHARD, &ratings(1), None).await;
    for _ in 0..200 {
        if appended.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        appended = engine.buffer.append(SHARD, &ratings(1), None).await;
    }
    appended.expect("appends go on over a new connection");
    assert_eq!(stream_length(&engine), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_refused_whole_when_redis_has_no_memory_left() {
    let engine = Engine::redis().await;
    let redis = engine.world.redis();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = engine.buffer.append(SHARD, &ratings(3), None).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(engine.buffer.backlog(SHARD, Position::START).await.unwrap().appends, 0);
    assert_eq!(engine.append(&ratings(3)).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_with_other_fields_come_out_as_undecodable() {
    let engine = Engine::redis().await;
    let redis = engine.world.redis();
    engine.append(&ratings(1)).await;
    redis.command(&["XADD", STREAM, "*", "x", "y"]);
    redis.command(&["XADD", STREAM, "*", "e", "1 r p ann 5 1790000000000", "x", "y"]);
    redis.command_bytes(&[b"XADD", STREAM.as_bytes(), b"*", b"\xff\0", b"\xfe"]);
    engine.append(&ratings(1)).await;
    let lines = engine.buffer.read(SHARD, Position::START, 10).await.unwrap().expect("a batch").lines;
    let readable: Vec<bool> = lines.iter().map(|line| line.entry.is_ok()).collect();
    assert_eq!(readable, [true, false, false, false, true]);
    let payload = |i: usize| lines[i].entry.as_ref().unwrap_err().payload.clone();
    assert_eq!(payload(1), b"x=y\n");
    assert_eq!(payload(2), b"e=1 r p ann 5 1790000000000\nx=y\n");
    assert_eq!(payload(3), b"\xff\0=\xfe\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_disagrees_with_the_logs_is_refused_until_it_agrees() {
    let engine = Engine::redis().await;
    let seconds = match engine.world.redis().command(&["TIME"]) {
        Reply::List(parts) => String::from_utf8_lossy(parts[0].bytes()).parse::<i64>().unwrap(),
        other => panic!("{other:?}"),
    };
    let theirs = Time::from_ms(seconds * 1_000);
    for wrong in [theirs.plus_ms(-90_000), theirs.plus_ms(3_600_000)] {
        match engine.buffer.append(SHARD, &ratings(1), Some(wrong)).await {
            Err(Error::Unavailable(text)) => assert!(text.contains("differ by"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stream_length(&engine), 0);
    engine.buffer.append(SHARD, &ratings(1), Some(theirs)).await.expect("the same time");
    engine.buffer.append(SHARD, &ratings(1), None).await.expect("their times are from elsewhere");
    assert_eq!(stream_length(&engine), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_of_another_installation_is_refused() {
    let engine = Engine::redis().await;
    let link = link(&engine).await;
    for _ in 0..2 {
        stamp(&link, "ours", 16).await.expect("it is ours");
    }
    for (id, shards) in [("theirs", 16), ("ours", 8)] {
        match stamp(&link, id, shards).await {
            Err(Error::Config(text)) => assert!(text.contains("ours") && text.contains("16"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    stamp(&link, "ours", 16).await.expect("it is still ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_takes_nothing_until_its_floor_is_known() {
    for engine in [Engine::redis().await, Engine::redis().await.grouped()] {
        let before = engine.append(&ratings(2)).await;
        engine.world.redis().command(&["FLUSHALL"]);
        engine.floors.set(None);
        for _ in 0..2 {
            let refused = engine.buffer.append(SHARD, &ratings(1), None).await;
            assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
            assert_eq!(stream_length(&engine), 0, "nothing was kept");
        }
        engine.floors.set(Some(FAR));
        let after = engine.append(&ratings(1)).await;
        assert!(before[1] < FAR && after[0] > FAR, "{after:?}");
        assert_eq!(engine.buffer.backlog(SHARD, FAR).await.unwrap().appends, 1, "a floor is no append");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_turns_out_to_be_gone_gets_its_floor_and_the_entries() {
    for engine in [Engine::redis().await, Engine::redis().await.grouped()] {
        engine.append(&ratings(1)).await;
        engine.world.redis().command(&["FLUSHALL"]);
        engine.floors.set(Some(FAR));
        let after = engine.append(&ratings(1)).await;
        assert!(after[0] > FAR, "{after:?}");
        assert_eq!(stream_length(&engine), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_there_takes_entries_while_its_floor_is_not_known() {
    let engine = Engine::redis().await;
    let before = engine.append(&ratings(1)).await;
    engine.floors.set(None);
    let other = another(&engine).await;
    let after = other.append(SHARD, &ratings(1), None).await.expect("the stream keeps its floor");
    assert!(after[0] > before[0], "{after:?}");
    engine.floors.set(Some(FAR));
    let above = other.append(SHARD, &ratings(1), None).await.unwrap();
    assert!(above[0] > FAR, "it asked again: {above:?}");
}
