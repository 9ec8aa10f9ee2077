//! Micro-benchmarks of what a rating and a read cost inside the process: codec, fold, evaluation, limits, tokens.
//!
//! usage: cargo bench --bench micro [-- FILTER]
//! Only what the library offers anyway is measured; how an answer is rendered is private to `api`, and measured by
//! `scripts/bench` as a whole request.

use std::net::{IpAddr, Ipv4Addr};

use damper::config::{Config, Settings};
use damper::entry::{Action, Batch, Entry, Line, Position, Shard};
use damper::identity::{Keys, mint};
use damper::limits::Limits;
use damper::merge::{Loaded, LoadedPost, merge};
use damper::model::{PostId, Score, Time, UserId};
use damper::smoothing::{Average, Params, Published};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// 1 September 2026.
const NOW: Time = Time::from_ms(1_788_220_800_000);
const POSTS: usize = 100;
const USERS: usize = 2_000;
/// Entries of a batch.
const ENTRIES: usize = 5_000;
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

#[divan::bench]
fn entry_encode(bencher: Bencher) {
    let entry = entry(1);
    bencher.bench(|| black_box(&entry).encode());
}

#[divan::bench]
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
#[divan::bench]
fn evaluate_an_average(bencher: Bencher) {
    let (average, params) = (average(), params());
    let later = NOW.plus_ms(86_400_000);
    bencher.bench(|| Published::of(&black_box(&average).at(later, &params), &params));
}

/// Two limits, by user and by address, in the process (no Redis).
#[divan::bench]
fn limit_decision(bencher: Bencher) {
    let limits =
        Limits::new(config(&[("limits.ratings_per_minute_per_address", "1000000")]).limits, None, "bench");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (post, address) = (post(1), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            user(number % USERS)
        })
        .bench_local_refs(|user| runtime.block_on(limits.take(user, address, &post, NOW)));
}

fn keyed() -> (Config, Keys) {
    let config = config(&[("auth.jwt_secret", SECRET)]);
    let keys = Keys::load(&config).expect("keys").expect("a secret");
    (config, keys)
}

fn token(config: &Config, number: usize) -> String {
    mint(&config.auth, &user(number), &[], 24, NOW).expect("a token")
}

#[divan::bench]
fn token_remembered(bencher: Bencher) {
    let (config, keys) = keyed();
    let token = token(&config, 1);
    assert!(keys.verify(&token, NOW).is_ok());
    bencher.bench(|| keys.verify(black_box(&token), NOW));
}

#[divan::bench]
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
