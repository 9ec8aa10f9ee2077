//! Micro-benchmarks of what a rating and a read cost inside the process: codec, fold, evaluation, limits, tokens, and
//! a post as the API answers it, from the request's head to the body.
//!
//! usage: cargo bench --bench micro [-- FILTER]
//! No network and no server: what these add is measured by `scripts/bench`.

use std::net::{IpAddr, Ipv4Addr};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use damper::App;
use damper::api::{Gate, public};
use damper::app::drain::DrainOrder;
use damper::config::{Config, Settings};
use damper::entry::{Action, Batch, Entry, Line, Position, Shard};
use damper::identity::{Keys, mint};
use damper::limits::Limits;
use damper::merge::{Loaded, LoadedPost, merge};
use damper::model::post::Post;
use damper::model::{PostId, Score, Time, UserId};
use damper::smoothing::{Average, Params, Published};
use damper::store::Trigger;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// 1 September 2026.
const NOW: Time = Time::from_ms(1_788_220_800_000);
const POSTS: usize = 100;
const USERS: usize = 2_000;
/// Entries of a batch.
const ENTRIES: usize = 5_000;
/// Calls that are timed together, where one takes less than the clock can tell.
const CALLS: u32 = 200;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn main() {
    divan::main();
}

fn config(flags: &[(&str, &str)]) -> Config {
    let flags: Vec<_> = flags.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Settings::load(None, &flags).expect("settings").config
}

fn params() -> Params {
    config(&[]).params().expect("parameters")
}

fn post(number: usize) -> PostId {
    PostId::parse(&format!("film-{number}")).expect("an id")
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).expect("an id")
}

/// The entry of this number: a second after the one before, another post, another user.
fn entry(number: usize) -> Entry {
    let score = Score::parse((number % 6) as i64).expect("a score");
    let at = NOW.plus_ms(number as i64 * 1_000);
    Entry::new(post(number % POSTS), user(number * 7 % USERS), at, Action::Rate(score))
}

fn batch(entries: usize) -> Batch {
    let line =
        |number: usize| Line { position: Position::new(1, number as u64 + 1), entry: Ok(entry(number)) };
    let shard = Shard::of(&post(0), 1);
    Batch::of(shard, Position::default(), (0..entries).map(line).collect()).expect("a batch")
}

/// The posts exist, and nobody rated them.
fn loaded() -> Loaded {
    Loaded {
        posts: (0..POSTS).map(|number| (post(number), LoadedPost::default())).collect(),
        ..Loaded::default()
    }
}

/// An established post.
fn average() -> Average {
    let merged = merge(&batch(ENTRIES), loaded(), &params());
    merged.averages.first().expect("an average").after
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The API of a data file with one rated post.
fn api(runtime: &Runtime) -> (TempDir, Router) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("damper.db");
    let config = config(&[("data", data.to_str().expect("a path"))]);
    let router = runtime.block_on(async {
        let (app, now) = (App::open(config).await.expect("an app"), NOW);
        let posts = vec![Post::named_by_id(post(1), now)];
        app.catalogue().ensure_posts(posts).await.expect("a post");
        for number in 0..20 {
            let (user, action) = (user(number), entry(number).action);
            app.intake().submit(&post(1), &user, action, now).await.expect("a rating");
        }
        let drained = app.drainer().drain(now, &DrainOrder::quiet(Trigger::Flush)).await;
        assert!(drained.complete && drained.applied == 20, "{drained:?}");
        public(&Gate::without_keys(app, CancellationToken::new()), Router::new()).expect("routes")
    });
    (folder, router)
}

/// A request for the post. An answer is kept for each list of encodings that callers name.
fn get(encodings: &str) -> Request<Body> {
    let request = Request::get(format!("/api/posts/{}", post(1))).header(header::HOST, "localhost");
    request.header(header::ACCEPT_ENCODING, encodings).body(Body::empty()).expect("a request")
}

async fn answer(api: Router, request: Request<Body>) -> usize {
    let answer = api.oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    to_bytes(answer.into_body(), usize::MAX).await.expect("a body").len()
}

/// The post is in the process, and its answer is put together.
#[divan::bench(sample_size = CALLS)]
fn post_rendered(bencher: Bencher) {
    let runtime = runtime();
    let (_folder, api) = api(&runtime);
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            (api.clone(), get(&format!("x-{number}")))
        })
        .bench_local_values(|(api, request)| runtime.block_on(answer(api, request)));
}

/// The answer was put together a moment ago.
#[divan::bench(sample_size = CALLS)]
fn post_kept(bencher: Bencher) {
    let runtime = runtime();
    let (_folder, api) = api(&runtime);
    bencher
        .with_inputs(|| (api.clone(), get("identity")))
        .bench_local_values(|(api, request)| runtime.block_on(answer(api, request)));
}

#[divan::bench(sample_size = CALLS)]
fn entry_encode(bencher: Bencher) {
    let entry = entry(1);
    bencher.bench(|| black_box(&entry).encode());
}

#[divan::bench(sample_size = CALLS)]
fn entry_decode(bencher: Bencher) {
    let text = entry(1).encode();
    bencher.bench(|| Entry::decode(black_box(text.as_bytes())));
}

/// Per entry: divide by the items, or read the line of items a second.
#[divan::bench]
fn fold_a_batch(bencher: Bencher) {
    let (batch, params) = (batch(ENTRIES), params());
    assert_eq!(merge(&batch, loaded(), &params).applied, ENTRIES as u64);
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .with_inputs(loaded)
        .bench_values(|loaded| merge(&batch, loaded, &params));
}

/// What a reader's process does with a cached average.
#[divan::bench(sample_size = CALLS)]
fn evaluate_an_average(bencher: Bencher) {
    let (average, params) = (average(), params());
    let later = NOW.plus_ms(86_400_000);
    bencher.bench(|| Published::of(&black_box(&average).at(later, &params), &params));
}

/// Two limits, by user and by address, in the process (no Redis). Neither refuses: time goes on.
#[divan::bench(sample_size = CALLS)]
fn limit_decision(bencher: Bencher) {
    let knobs = config(&[("limits.ratings_per_minute_per_address", "1000000")]).limits;
    let limits = Limits::new(&knobs, None, "bench");
    let runtime = runtime();
    let (post, address) = (post(1), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            (user(number % USERS), NOW.plus_ms(number as i64))
        })
        .bench_local_refs(|(user, at)| {
            let admission = runtime.block_on(limits.take(user, address, &post, *at));
            assert!(admission.refused.is_none());
        });
}

fn keyed() -> (Config, Keys) {
    let config = config(&[("auth.jwt_secret", SECRET)]);
    let keys = Keys::load(&config).expect("keys").expect("a secret");
    (config, keys)
}

fn token(config: &Config, number: usize) -> String {
    mint(&config.auth, &user(number), &[], 24, NOW).expect("a token")
}

#[divan::bench(sample_size = CALLS)]
fn token_remembered(bencher: Bencher) {
    let (config, keys) = keyed();
    let token = token(&config, 1);
    assert!(keys.verify(&token, NOW).is_ok());
    bencher.bench(|| keys.verify(black_box(&token), NOW));
}

#[divan::bench(sample_size = CALLS)]
fn token_new(bencher: Bencher) {
    let (config, keys) = keyed();
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            token(&config, number)
        })
        .bench_local_refs(|token| keys.verify(token, NOW));
}
