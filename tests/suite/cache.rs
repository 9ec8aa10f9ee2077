//! The same tests for both caches, in process and in Redis: the newest wins, and everything wrong is a miss. `room` has what
//! they take of memory.

mod room;

use std::sync::Arc;
use std::time::{Duration, Instant};

use damper::cache::memory::MemoryCache;
use damper::cache::redis::RedisCache;
use damper::cache::{Cache, Cached};
use damper::entry::{Position, Shard};
use damper::merge::{PostState, Standing};
use damper::model::Time;
use damper::model::post::Post;
use damper::redis::link::RedisLink;
use damper::smoothing::{Average, Knobs, Params, UserState, When};

use crate::support::log::{START, entry, post_id, posts};
use crate::support::redis::Reply;
use crate::support::world::World;
use crate::support::{SEEN_WITHIN, until, wait, within};

/// Makes a test of each function on each cache. Redis is looked at through an in-process cache that keeps nothing.
macro_rules! on_every_cache {
    ($($name:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&damper::cache::memory::MemoryCache::new(super::MEMORY)).await;
            })*
        }
        mod in_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = crate::support::world::World::servers();
                super::$name(&super::cache(&world, 0).await).await;
            })*
        }
    };
}

on_every_cache!(
    what_is_put_is_got_in_the_order_asked,
    a_newer_state_replaces_an_older_and_never_the_other_way,
    every_bit_of_a_state_comes_back,
);

/// Memory of a process for more posts than these tests have.
const MEMORY: u64 = 1 << 20;

/// A process' cache: Redis, behind `near` bytes in process.
async fn cache(world: &World, near: u64) -> RedisCache {
    let config = world.config();
    let link = RedisLink::open(&config.redis_url, Duration::from_secs(1)).await;
    let link = Arc::new(link.expect("redis answers"));
    let opened = RedisCache::open(MemoryCache::new(near), link, &config.cache).await;
    opened.expect("the cache opens")
}

/// The key in Redis that holds a post.
fn part(id: &str) -> String {
    format!("damper:cache:{}", Shard::of(&post_id(id), 64).0)
}

/// A post's state: how new it is, by position, revision and when it was read.
fn cached(id: &str, position: u64, revision: u64, read_ms: i64) -> Arc<Cached> {
    let post = Post { revision, ..posts(&[id]).remove(0) };
    let version = Position::new(1_700_000_000_000, position);
    let state = PostState { post, average: Average::default(), version, standing: Standing::default() };
    Arc::new(Cached::new(state, START.plus_ms(read_ms), Instant::now()))
}

async fn get(cache: &dyn Cache, id: &str) -> Option<Arc<Cached>> {
    cache.get_many(&[post_id(id)]).await.remove(0)
}

async fn what_is_put_is_got_in_the_order_asked(cache: &dyn Cache) {
    let (a, b) = (cached("a", 1, 1, 0), cached("b", 2, 1, 0));
    cache.put_many(&[a.clone(), b.clone()]).await;
    let found = cache.get_many(&["b", "none", "a", "b"].map(post_id)).await;
    assert_eq!(found, [Some(b.clone()), None, Some(a), Some(b)]);
    assert_eq!(cache.get_many(&[]).await, []);
    cache.put_many(&[]).await;
}

async fn a_newer_state_replaces_an_older_and_never_the_other_way(cache: &dyn Cache) {
    let rising = [
        cached("p", 1, 9, 9),
        cached("p", 9, 1, 0),
        cached("p", 9, 2, 0),
        cached("p", 9, 2, 5),
        cached("p", 10, 1, 0),
    ];
    for (i, newer) in rising.iter().enumerate() {
        cache.put_many(std::slice::from_ref(newer)).await;
        assert_eq!(get(cache, "p").await.as_ref(), Some(newer));
        cache.put_many(&rising[..i]).await;
        assert_eq!(get(cache, "p").await.as_ref(), Some(newer), "an older one came later");
    }
    let far = PostState { version: Position::new(1_700_000_000_001, 0), ..rising[4].state.clone() };
    let far = Arc::new(Cached::new(far, START, Instant::now()));
    cache.put_many(std::slice::from_ref(&far)).await;
    cache.put_many(&[cached("p", u64::MAX, u64::MAX, 9)]).await;
    assert_eq!(get(cache, "p").await, Some(far), "the high part of a position weighs most");
}

async fn every_bit_of_a_state_comes_back(cache: &dyn Cache) {
    let params = Params::new(&Knobs::default()).unwrap();
    let mut average = Average::default();
    for i in 0..50 {
        let score = entry("p", "u", Some(i % 6), START).action.score().expect("a score");
        let when = When { at: START.plus_ms(i * 7_000_001), is_stated: false };
        UserState::default().rate(&mut average, score, when, &params);
    }
    let mut whole = (*cached("p", 3, 4, 5)).clone();
    whole.state.average = average;
    whole.state.post.content = Some("\"quotes\" \\ ☃ \u{1}".into());
    let whole = Arc::new(whole);
    cache.put_many(std::slice::from_ref(&whole)).await;
    let found = get(cache, "p").await.expect("it was put");
    assert_eq!(found, whole);
    let bits = crate::support::log::bits;
    assert_eq!(bits(&found.state.average), bits(&average));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_in_process_is_shown_for_a_second_at_most() {
    let (cache, entry) = (MemoryCache::new(MEMORY), cached("p", 1, 1, 0));
    cache.put_many(std::slice::from_ref(&entry)).await;
    assert_eq!(get(&cache, "p").await.as_ref(), Some(&entry));
    let gone = || wait(get(&cache, "p")).is_none().then_some(());
    within(SEEN_WITHIN, "the entry to be gone", gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_puts_another_gets_within_a_second() {
    let world = World::servers();
    let (one, other) = (cache(&world, MEMORY).await, cache(&world, MEMORY).await);
    let (older, newer) = (cached("p", 1, 1, 0), cached("p", 2, 1, 0));
    one.put_many(std::slice::from_ref(&older)).await;
    assert_eq!(get(&other, "p").await.as_ref(), Some(&older), "what is not near comes from redis");
    until_shown_on(&other, "p");
    one.put_many(std::slice::from_ref(&newer)).await;
    one.note_change().await;
    let seen = || (wait(get(&other, "p")).as_ref() == Some(&newer)).then_some(());
    within(SEEN_WITHIN, "the other process to get what replaced it", seen);
}

/// Reads a post until this process has shown it for so long that it must know that nothing has changed.
fn until_shown_on(cache: &RedisCache, id: &str) {
    until("a post to be shown on", || {
        wait(get(cache, id)).is_some_and(|found| found.asked_at.elapsed() > SEEN_WITHIN * 2)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_renews_what_is_near_and_adds_nothing_to_it() {
    let cache = MemoryCache::new(MEMORY);
    cache.put_many(&[cached("read", 1, 1, 0)]).await;
    cache.refresh_many(&[cached("read", 2, 1, 0), cached("unread", 2, 1, 0)]).await;
    assert_eq!(get(&cache, "read").await, Some(cached("read", 2, 1, 0)));
    assert_eq!(get(&cache, "unread").await, None);
}

/// What no process has changed is shown without a question to Redis, until a process notes a change.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_shown_on_while_no_process_notes_a_change() {
    let world = World::servers();
    let (one, other) = (cache(&world, MEMORY).await, cache(&world, MEMORY).await);
    let entry = cached("p", 1, 1, 0);
    one.put_many(std::slice::from_ref(&entry)).await;
    until_shown_on(&other, "p");
    world.redis().command(&["UNLINK", &part("p")]);
    one.note_change().await;
    within(SEEN_WITHIN, "another look", || wait(get(&other, "p")).is_none().then_some(()));
}

/// A change is noted where nothing more can be stored, and later where Redis did not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_noted_in_a_full_redis_and_after_one_that_was_away() {
    let world = World::servers();
    let (one, other) = (cache(&world, MEMORY).await, cache(&world, MEMORY).await);
    one.put_many(&[cached("p", 1, 1, 0)]).await;
    until_shown_on(&other, "p");
    let redis = world.redis();
    redis.command(&["UNLINK", &part("p")]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    one.note_change().await;
    within(SEEN_WITHIN, "another look", || wait(get(&other, "p")).is_none().then_some(()));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);

    let mark = || redis.command(&["EXISTS", "damper:cache:mark"]) == Reply::Int(1);
    one.put_many(&[cached("p", 2, 1, 0)]).await;
    until_shown_on(&other, "p");
    drop(other);
    assert!(mark());
    redis.kill();
    one.note_change().await;
    // It comes back with the mark.
    redis.start_again();
    until("the mark to be gone", || !mark());
}

/// Nothing is known of other processes then, and a change may have been missed when Redis is back.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_on_without_redis_or_from_before_it_was_away() {
    let world = World::servers();
    let cache = cache(&world, MEMORY).await;
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    until_shown_on(&cache, "p");
    let before = get(&cache, "p").await.expect("it is near").asked_at;
    world.redis().kill();
    within(SEEN_WITHIN, "the entry to be gone", || wait(get(&cache, "p")).is_none().then_some(()));
    // A look has failed by now: what was near has to be asked for again.
    world.redis().start_again();
    until_shown_on(&cache, "p");
    assert!(!cache.is_fresh(before));
}

/// Redis may have been away when a process got the newer state.
#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_go_back_with_a_redis_that_missed_a_state() {
    let world = World::servers();
    let (one, other) = (cache(&world, MEMORY).await, cache(&world, MEMORY).await);
    one.put_many(&[cached("p", 1, 1, 0)]).await;
    let older = world.redis().command(&["HGET", &part("p"), "p"]).bytes().to_vec();
    one.put_many(&[cached("p", 2, 1, 0)]).await;
    world.redis().command_bytes(&[b"HSET", part("p").as_bytes(), b"p", &older]);
    let began = Instant::now();
    while began.elapsed() < SEEN_WITHIN * 2 {
        assert_eq!(get(&one, "p").await, Some(cached("p", 2, 1, 0)), "after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(&other, "p").await, Some(cached("p", 2, 1, 0)), "redis has it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_program_is_a_miss_and_is_replaced() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    let redis = world.redis();
    let ours = cached("p", 7, 1, 0);
    cache.put_many(std::slice::from_ref(&ours)).await;
    let value = redis.command(&["HGET", &part("p"), "p"]).bytes().to_vec();
    let mut cut = value.clone();
    cut.truncate(value.len() / 2);
    let mut other_encoding = value.clone();
    other_encoding[0] = b'2';
    let foreign: [&[u8]; 6] = [b"", b"1 ", b"\xff\xfe\0", b"{\"state\":null}", &cut, &other_encoding];
    for bytes in foreign {
        redis.command_bytes(&[b"HSET", part("p").as_bytes(), b"p", bytes]);
        assert_eq!(get(&cache, "p").await, None, "{bytes:?}");
    }
    cache.put_many(std::slice::from_ref(&ours)).await;
    assert_eq!(get(&cache, "p").await, Some(ours), "another encoding's newness does not count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_a_miss_and_is_replaced() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    world.redis().command(&["SET", &part("p"), "value"]);
    assert_eq!(get(&cache, "p").await, None);
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    assert_eq!(get(&cache, "p").await, Some(cached("p", 1, 1, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_posts_value_is_a_miss() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    cache.put_many(&[cached("q", 1, 1, 0)]).await;
    let value = world.redis().command(&["HGET", &part("q"), "q"]).bytes().to_vec();
    world.redis().command_bytes(&[b"HSET", part("p").as_bytes(), b"p", &value]);
    assert_eq!(get(&cache, "p").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_keeps_has_an_end() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    let left_ms = world.redis().command(&["PTTL", &part("p")]).int();
    assert!((1..=86_400_000).contains(&left_ms), "{left_ms}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_is_a_miss_and_nothing_an_error() {
    let world = World::servers();
    let cache = cache(&world, MEMORY).await;
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    world.redis().kill();
    cache.put_many(&[cached("q", 1, 1, 0)]).await;
    assert_eq!(get(&cache, "q").await, Some(cached("q", 1, 1, 0)), "what is near is still there");
    assert_eq!(get(&cache, "never-put").await, None);
    world.redis().start_again();
    let stored = || world.redis().command(&["HEXISTS", &part("q"), "q"]) == Reply::Int(1);
    until("the cache to be back", || {
        wait(cache.put_many(&[cached("q", 2, 1, 0)]));
        stored()
    });
    assert_eq!(get(&cache, "q").await.map(|found| found.state.version.low), Some(2));
}

/// A time is part of what makes an entry new: the same state, read later, says that nothing has changed since.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_state_read_later_replaces_what_was_read_earlier() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    cache.put_many(&[cached("p", 1, 1, 10)]).await;
    cache.put_many(&[cached("p", 1, 1, 9)]).await;
    assert_eq!(get(&cache, "p").await.map(|found| found.read_at), Some(START.plus_ms(10)));
    let never = Cached { read_at: Time::from_ms(0), ..(*cached("p", 2, 1, 0)).clone() };
    cache.put_many(&[Arc::new(never.clone())]).await;
    assert_eq!(get(&cache, "p").await.as_deref(), Some(&never));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_puts_over_a_connection_of_its_own() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    // Connections that have run the script last.
    let putting = || {
        let clients = world.redis().command(&["CLIENT", "LIST"]);
        String::from_utf8_lossy(clients.bytes()).matches(" cmd=evalsha ").count()
    };
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    assert_eq!(putting(), 1);
    cache.refresh_many(&[cached("p", 2, 1, 0)]).await;
    assert_eq!(putting(), 2, "readers do not queue behind it");
    assert_eq!(get(&cache, "p").await, Some(cached("p", 2, 1, 0)));
}
