//! What cached posts take of memory: a bound in bytes, in Redis and in a process; beside the log they give way, and a Redis
//! of their own is needed by nobody.

use std::sync::Arc;

use damper::cache::memory::MemoryCache;
use damper::cache::{Cache, Cached};
use serde_json::json;

use super::{cache, cached, get, part};
use crate::support::log::post_id;
use crate::support::postgres::Postgres;
use crate::support::process::Program;
use crate::support::redis::Redis;
use crate::support::until;
use crate::support::world::World;

/// A post's state with a content of so many bytes.
fn with_content(id: &str, bytes: usize) -> Arc<Cached> {
    let mut entry = (*cached(id, 1, 1, 0)).clone();
    entry.state.post.content = Some("x".repeat(bytes));
    Arc::new(entry)
}

/// A number in `INFO memory`.
fn memory(redis: &Redis, name: &str) -> i64 {
    let info = String::from_utf8_lossy(redis.command(&["INFO", "memory"]).bytes()).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{name} in {info}"))
}

/// The keys of cached posts.
fn parts(redis: &Redis) -> usize {
    redis.command(&["KEYS", "damper:cache:[0-9]*"]).texts().len()
}

/// Adds `p0`, `p1`, … with contents of 20 KB, as a site has them for long.
fn add_posts(world: &World, count: usize) {
    world.db().change(&format!(
        "with recursive n (i) as (select 0 union all select i + 1 from n where i < {count} - 1)
         insert into posts (id, title, content, created_at, revision)
         select 'p' || i, 'title', repeat('x', 20000), 0, 1 from n"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_in_redis_keeps_its_bound_whatever_is_put() {
    let bound = 2 << 20;
    let world = World::servers().with("cache.redis_bytes_max", bound);
    let cache = cache(&world, 0).await;
    let before = memory(world.redis(), "used_memory");
    for begin in (0..6_000).step_by(500) {
        // As long as an entry may be, and ids as well.
        let entries: Vec<_> = (begin..begin + 500).map(|i| with_content(&format!("{i:p>64}"), 900)).collect();
        cache.put_many(&entries).await;
    }
    let taken = memory(world.redis(), "used_memory") - before;
    println!("{taken} of {bound} bytes are taken");
    // Redis itself takes a little for the connections.
    assert!((bound / 3..bound + (256 << 10)).contains(&taken), "{taken} of {bound}");
    let ids: Vec<_> = (0..6_000).map(|i| post_id(&format!("{i:p>64}"))).collect();
    let mut found = 0;
    for ids in ids.chunks(500) {
        found += cache.get_many(ids).await.into_iter().flatten().filter(|entry| !entry.is_cut).count();
    }
    assert!((900..=1_024).contains(&found), "{found} of 1,024 places are filled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_content_is_left_out_of_redis_and_all_else_comes_back() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    let long = with_content("p", 20_000);
    cache.put_many(std::slice::from_ref(&long)).await;
    let mut expected = (*long).clone();
    expected.state.post.content = None;
    expected.is_cut = true;
    assert_eq!(get(&cache, "p").await.as_deref(), Some(&expected));
    assert!(world.redis().command(&["HSTRLEN", &part("p"), "p"]).int() < 1_784);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_remembers_bytes_not_posts() {
    let cache = MemoryCache::new(1 << 20);
    let many: Vec<_> = (0..2_000).map(|i| with_content(&format!("p{i}"), 20_000)).collect();
    cache.put_many(&many).await;
    let ids: Vec<_> = (0..2_000).map(|i| post_id(&format!("p{i}"))).collect();
    let found = cache.get_many(&ids).await.into_iter().flatten().count();
    // 51 fit, and those that were put last are looked at a little later.
    assert!((25..=51 + 128).contains(&found), "{found} posts of 20 KB in 1 MiB");
}

/// A crawler reads ten times what Redis can hold, and every rating is taken.
#[tokio::test(flavor = "multi_thread")]
async fn not_even_the_first_post_is_put_where_the_log_has_little_room() {
    let world = World::servers();
    let cache = cache(&world, 0).await;
    let used = memory(world.redis(), "used_memory");
    world.redis().command(&["CONFIG", "SET", "maxmemory", &(used + used / 10).to_string()]);
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    assert_eq!(parts(world.redis()), 0);
    world.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    cache.put_many(&[cached("p", 1, 1, 0)]).await;
    assert_eq!(parts(world.redis()), 1);
}

#[test]
fn a_crawl_leaves_the_memory_to_the_log() {
    let redis = Redis::start_with(&["--appendfsync", "no", "--maxmemory", "6mb"]);
    let world = World::on(redis, Postgres::shared());
    let service = world.start_api();
    let api = service.http();
    add_posts(&world, 3_000);
    for i in 0..3_000 {
        let post = api.read(&format!("p{i}"));
        assert_eq!(post["content"].as_str().map(str::len), Some(20_000));
        if i % 10 == 0 {
            api.rate(&format!("p{i}"), "ann", 5);
        }
    }
    let (used, limit) = (memory(world.redis(), "used_memory"), memory(world.redis(), "maxmemory"));
    println!("{used} of {limit} bytes are used after the crawl");
    assert!(used * 100 < limit * 95, "{used} of {limit}");
    assert_eq!(world.status()["waiting"], 300);
}

#[test]
fn the_cache_goes_when_the_log_finds_no_room() {
    let world = World::servers();
    let service = world.start_api();
    let api = service.http();
    add_posts(&world, 200);
    (0..200).for_each(|i| drop(api.read(&format!("p{i}"))));
    until("the posts to be cached", || parts(world.redis()) > 10);
    world.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
    let rating = json!({"user_id": "ann", "score": 5});
    api.post("/api/posts/p0/rate", &rating).problem(503, "unavailable");
    until("the cache to be gone", || parts(world.redis()) == 0);
    world.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    api.rate("p0", "ann", 5);
    // It rests, or it would be in the way again at once.
    assert_eq!(api.read("p1")["id"], "p1");
    assert_eq!(parts(world.redis()), 0);
}

#[test]
fn a_redis_of_its_own_holds_the_posts_and_no_one_needs_it() {
    let own = Redis::start_with(&["--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]);
    let world = World::servers().with("cache.redis_url", own.url());
    let service = world.start_api();
    let api = service.http();
    api.create("p");
    api.read("p");
    until("the post to be in its own redis", || parts(&own) == 1);
    assert_eq!(parts(world.redis()), 0);
    own.kill();
    // Another process begins without it.
    let other = world.start(Program::Api);
    for api in [&api, &other.http()] {
        api.rate("p", "ann", 5);
        assert_eq!(api.read("p")["id"], "p");
    }
    own.start_again();
    other.http().create("q");
    until("both to be back", || {
        api.read("p");
        other.http().read("q");
        own.command(&["HEXISTS", &part("p"), "p"]).int() + own.command(&["HEXISTS", &part("q"), "q"]).int()
            == 2
    });
}

#[test]
fn a_wrong_url_of_the_cache_is_told_at_the_start() {
    for (url, said) in [
        ("http://localhost".to_owned(), "cache.redis_url http://localhost must begin with redis://"),
        ("redis://localhost:99999".to_owned(), "DAMPER_CACHE__REDIS_URL"),
    ] {
        let run = World::servers().with("cache.redis_url", url).cli(&["status"]).expect(78);
        assert!(run.err.contains(said), "{}", run.err);
    }
}
