//! One conduct for both stores, Postgres and SQLite: a commit is whole, happens once, and keeps every bit.

mod catalogue;
mod history;
mod ranking;
mod upgrades;
mod verify;

use std::sync::Arc;

use damper::Error;
use damper::entry::{Backlog, Batch, Entry, Line, Position, Shard, Undecodable};
use damper::merge::{Merged, merge};
use damper::model::{Time, UserId};
use damper::smoothing::{Knobs, Params};
use damper::store::{Checkpoint, ShardState, Store};

use crate::support::in_both_setups;
use crate::support::log::{Folded, START, bits, entry, latest, post_id, posts, row_bits, synthetic};
use crate::support::world::World;

in_both_setups!(async
    a_commit_moves_the_checkpoint_with_the_data,
    a_batch_is_committed_once,
    of_two_commits_at_once_one_counts,
    what_cannot_be_applied_is_quarantined_and_its_neighbours_count,
    a_withdrawal_takes_out_what_is_there,
    an_edit_takes_the_place_of_the_rating,
    zero_is_a_score_as_the_first_the_old_and_the_new,
    a_newer_schema_is_refused_and_nothing_is_written,
    small_and_large_batches_are_kept_to_the_last_bit,
    history_keeps_each_hours_arrivals_and_last_state,
    first_starts_at_once_make_one_installation,
);

const SHARD: Shard = Shard(0);
const DAY_MS: i64 = 86_400_000;

/// A store and how far its first shard has got.
struct Ledger {
    store: Arc<Store>,
    params: Params,
    at: Position,
    as_of: Time,
}

impl Ledger {
    /// A new store with these posts.
    async fn with_posts(world: &World, ids: &[&str]) -> Self {
        let store = world.store().await;
        store.add_posts(&posts(ids)).await.unwrap();
        let params = Params::new(&Knobs::default()).unwrap();
        Self { store, params, at: Position::START, as_of: START.plus_ms(100 * DAY_MS) }
    }

    /// Commits `entries` behind all others; they must be taken.
    async fn commit(&mut self, entries: &[Entry]) -> Merged {
        let batch = batch(self.at, entries);
        let merged = self.try_commit(&batch).await.unwrap().expect("nobody else commits");
        self.at = batch.to;
        merged
    }

    async fn try_commit(&self, batch: &Batch) -> damper::Result<Option<Merged>> {
        let log = Backlog { appends: batch.to.low, last: batch.to, ..Backlog::default() };
        let checkpoint = Checkpoint { position: batch.from, ..Checkpoint::default() };
        let seen = ShardState { checkpoint, log };
        let as_of = (self.as_of, &self.params);
        let merged = merge(batch, self.store.load(batch).await?, &self.params);
        Ok(self.store.commit(batch, &seen, &merged, as_of).await?.then_some(merged))
    }

    /// The average of a post that exists.
    async fn average(&self, post: &str) -> damper::smoothing::Average {
        self.state(post).await.average
    }

    async fn state(&self, post: &str) -> damper::merge::PostState {
        self.store.posts(&[post_id(post)]).await.unwrap().remove(0).expect("the post exists")
    }
}

/// Consecutive entries after `from`.
fn batch(from: Position, entries: &[Entry]) -> Batch {
    lines(from, entries.iter().cloned().map(Ok))
}

fn lines(from: Position, entries: impl Iterator<Item = Result<Entry, Undecodable>>) -> Batch {
    let lines = entries.zip(1..).map(|(entry, i)| Line { position: Position::new(0, from.low + i), entry });
    Batch::of(SHARD, from, lines.collect()).expect("a batch has entries")
}

/// Everything that commits write, to compare.
fn tables(world: &World) -> impl PartialEq + std::fmt::Debug + use<> {
    let db = world.db();
    let ratings: Vec<(String, String, i64, Vec<u8>, f64)> = db.all(
        "select post_id, user_id, cast(score as bigint), position, unvested_sum from ratings order by 1, 2",
    );
    let averages: Vec<(String, Vec<u8>, i64, i64, f64)> =
        db.all("select post_id, version, count, sum, calm_settled_sum from averages order by 1");
    let history: Vec<(String, i64, i64)> =
        db.all("select post_id, hour, arrivals from history order by 1, 2");
    let checkpoints: Vec<(i64, Vec<u8>, i64, i64)> =
        db.all("select cast(shard as bigint), position, applied, quarantined from checkpoints order by 1");
    let ranking: Vec<(String, f64, i64)> = db.all("select post_id, smoothed, as_of from ranking order by 1");
    let quarantine = db.count("select count(*) from quarantine");
    (ratings, averages, history, checkpoints, ranking, quarantine)
}

async fn a_commit_moves_the_checkpoint_with_the_data(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p", "q"]).await;
    let merged = ledger.commit(&[entry("p", "ann", Some(4), START), entry("p", "bob", Some(1), START)]).await;
    assert_eq!((merged.applied, merged.averages.len()), (2, 1));
    let checkpoint = ledger.store.checkpoint(SHARD).await.unwrap();
    assert_eq!((checkpoint.position, checkpoint.applied, checkpoint.quarantined), (ledger.at, 2, 0));
    let state = ledger.state("p").await;
    assert_eq!((state.average.count(), state.average.sum(), state.version), (2, 5, ledger.at));
    let untouched = ledger.state("q").await;
    assert_eq!((untouched.average, untouched.version), (Default::default(), Position::START));
}

async fn a_batch_is_committed_once(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    let first = batch(Position::START, &[entry("p", "ann", Some(4), START)]);
    ledger.try_commit(&first).await.unwrap().expect("nobody else commits");
    let before = tables(&world);
    assert!(ledger.try_commit(&first).await.unwrap().is_none(), "the checkpoint has moved on");
    let longer =
        batch(Position::START, &[entry("p", "ann", Some(0), START), entry("p", "bob", Some(0), START)]);
    assert!(ledger.try_commit(&longer).await.unwrap().is_none(), "nor from there with more");
    assert_eq!(tables(&world), before);
    ledger.at = first.to;
    ledger.commit(&[entry("p", "bob", Some(5), START)]).await;
    assert_eq!(ledger.average("p").await.sum(), 9);
}

async fn of_two_commits_at_once_one_counts(world: World) {
    let one = Ledger::with_posts(&world, &["p"]).await;
    let other = Ledger::with_posts(&world, &[]).await;
    let mut from = Position::START;
    for round in 0..20 {
        let batch = batch(from, &[entry("p", &format!("u{round}"), Some(5), START)]);
        let (a, b) = tokio::join!(one.try_commit(&batch), other.try_commit(&batch));
        let committed = [a, b].into_iter().filter_map(|outcome| outcome.unwrap()).count();
        assert_eq!(committed, 1, "in round {round}");
        from = batch.to;
    }
    assert_eq!(one.average("p").await.count(), 20);
    assert_eq!(other.store.checkpoint(SHARD).await.unwrap().applied, 20);
}

async fn what_cannot_be_applied_is_quarantined_and_its_neighbours_count(world: World) {
    let ledger = Ledger::with_posts(&world, &["p"]).await;
    let undecodable = Undecodable { reason: "a\0b".into(), payload: vec![0, 0xff, b'x'] };
    let batch = lines(
        Position::START,
        [
            Ok(entry("p", "ann", Some(3), START)),
            Err(undecodable),
            Ok(entry("nobody-made-it", "ann", Some(3), START)),
            Ok(entry("p", "bob", Some(5), START)),
        ]
        .into_iter(),
    );
    let merged = ledger.try_commit(&batch).await.unwrap().expect("nobody else commits");
    assert_eq!((merged.applied, merged.quarantined.len()), (2, 2));
    let checkpoint = ledger.store.checkpoint(SHARD).await.unwrap();
    assert_eq!((checkpoint.applied, checkpoint.quarantined, checkpoint.position), (2, 2, batch.to));
    assert_eq!(ledger.average("p").await.sum(), 8);
    let kept: Vec<(Vec<u8>, String, Vec<u8>)> =
        world.db().all("select position, reason, payload from quarantine order by position");
    let position = |i: usize| batch.lines[i].position.to_bytes().to_vec();
    assert_eq!(kept[0], (position(1), "a\u{fffd}b".into(), vec![0, 0xff, b'x']));
    assert_eq!((&kept[1].0, kept.len()), (&position(2), 2));
    assert!(kept[1].1.contains("no post nobody-made-it"), "{}", kept[1].1);
    let payload = format!("1 r nobody-made-it ann 3 {}", START.ms());
    assert_eq!(kept[1].2, payload.into_bytes());
}

async fn a_withdrawal_takes_out_what_is_there(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    ledger.commit(&[entry("p", "ann", Some(4), START), entry("p", "bob", Some(2), START)]).await;
    ledger.commit(&[entry("p", "ann", None, START.plus_ms(1)), entry("p", "eve", None, START)]).await;
    let average = ledger.average("p").await;
    assert_eq!((average.count(), average.sum(), average.histogram), (1, 2, [0, 0, 1, 0, 0, 0]));
    assert_eq!(
        ledger.store.checkpoint(SHARD).await.unwrap().applied,
        4,
        "one that changes nothing is applied"
    );
    // Rated, withdrawn and rated again within one batch.
    let at = START.plus_ms(2);
    let thrice =
        [entry("p", "eve", Some(1), at), entry("p", "eve", None, at), entry("p", "eve", Some(5), at)];
    ledger.commit(&thrice).await;
    ledger.commit(&[entry("p", "bob", None, at)]).await;
    assert_eq!(ledger.average("p").await.histogram, [0, 0, 0, 0, 0, 1]);
    let rows: Vec<(String, i64)> = world.db().all("select user_id, cast(score as bigint) from ratings");
    assert_eq!(rows, [("eve".to_owned(), 5)]);
}

async fn an_edit_takes_the_place_of_the_rating(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    ledger.commit(&[entry("p", "ann", Some(1), START)]).await;
    let later = START.plus_ms(DAY_MS);
    ledger.commit(&[entry("p", "ann", Some(3), later), entry("p", "ann", Some(5), later)]).await;
    let average = ledger.average("p").await;
    assert_eq!((average.count(), average.sum()), (1, 5));
    let ann = UserId::parse("ann").unwrap();
    let asked = [post_id("q"), post_id("p")];
    let found = ledger.store.ratings_of(&ann, &asked).await.unwrap();
    assert!(found[0].is_none(), "the answers stand in the order asked");
    let rating = found[1].expect("ann rated it");
    assert_eq!((rating.row.score.get(), rating.rated_at, rating.position), (5, later, ledger.at));
}

async fn zero_is_a_score_as_the_first_the_old_and_the_new(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    for (day, score, histogram) in
        [(0, 0, [1, 0, 0, 0, 0, 0]), (1, 5, [0, 0, 0, 0, 0, 1]), (2, 0, [1, 0, 0, 0, 0, 0])]
    {
        ledger.commit(&[entry("p", "ann", Some(score), START.plus_ms(day * DAY_MS))]).await;
        let average = ledger.average("p").await;
        assert_eq!((average.raw_mean(), average.histogram), (Some(score as f64), histogram));
        assert_eq!((average.count(), average.sum()), (1, score as u64));
    }
}

async fn a_newer_schema_is_refused_and_nothing_is_written(world: World) {
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    ledger.commit(&[entry("p", "ann", Some(4), START)]).await;
    world.db().change("update installation set schema_version = schema_version + 1");
    let before = tables(&world);
    let poison = Undecodable { reason: "of a newer damper".into(), payload: vec![] };
    let batch = lines(ledger.at, [Ok(entry("p", "bob", Some(0), START)), Err(poison)].into_iter());
    match ledger.try_commit(&batch).await {
        Err(Error::Config(text)) => assert!(text.contains("newer damper"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(tables(&world), before);
}

async fn small_and_large_batches_are_kept_to_the_last_bit(world: World) {
    let log = synthetic(7, 9_000);
    let names = crate::support::log::POSTS;
    let mut ledger = Ledger::with_posts(&world, &names).await;
    // Sizes on both sides of where Postgres changes from arrays to COPY.
    let (first, rest) = log.split_at(6_500);
    ledger.commit(first).await;
    for chunk in rest.chunks(900) {
        ledger.commit(chunk).await;
    }
    let folded = Folded::of(&log, &ledger.params);
    for (post, average) in &folded.averages {
        assert_eq!(bits(&ledger.average(post.as_str()).await), bits(average), "{post}");
    }
    for (post, user) in folded.rows.keys() {
        let stored = ledger.store.ratings_of(user, std::slice::from_ref(post)).await.unwrap()[0];
        let row = folded.rows[&(post.clone(), user.clone())];
        assert_eq!(stored.map(|rating| row_bits(&rating.row)), Some(row_bits(&row)), "{post} {user}");
    }
    assert_eq!(world.db().count("select count(*) from ratings"), latest(&log).len() as i64);
}

async fn history_keeps_each_hours_arrivals_and_last_state(world: World) {
    const HOUR_MS: i64 = 3_600_000;
    let mut ledger = Ledger::with_posts(&world, &["p"]).await;
    let hour = Time::from_ms(START.ms().div_euclid(HOUR_MS) * HOUR_MS);
    let at = |hours: i64, minutes: i64| hour.plus_ms(hours * HOUR_MS + minutes * 60_000);
    ledger.commit(&[entry("p", "a", Some(1), at(0, 1)), entry("p", "b", Some(2), at(0, 2))]).await;
    let two = ledger.average("p").await;
    // A rating, a withdrawal, and one whose time lies before the last: it counts in the last one's hour.
    ledger.commit(&[entry("p", "c", Some(3), at(5, 0)), entry("p", "a", None, at(5, 1))]).await;
    ledger.commit(&[entry("p", "d", Some(4), at(0, 30))]).await;
    let hours = ledger.store.hours_since(&post_id("p"), Time::from_ms(0)).await.unwrap();
    let told: Vec<_> = hours.iter().map(|h| (h.hour, h.arrivals, h.average.count())).collect();
    assert_eq!(told, [(at(0, 0), 2, 2), (at(5, 0), 2, 3)]);
    assert_eq!(bits(&hours[0].average), bits(&two));
    assert_eq!(bits(&hours[1].average), bits(&ledger.average("p").await));
    assert!(ledger.store.history(&post_id("q"), at(6, 0), 10).await.unwrap().is_none());
}

async fn first_starts_at_once_make_one_installation(world: World) {
    if !world.is_embedded() {
        // The suite's databases come with tables; here the first start makes them.
        world.db().change("drop schema public cascade; create schema public");
    }
    let starts: Vec<_> = (0..4).map(|_| world.spawn_cli(&["status"], b"")).collect();
    for start in starts {
        start.finish().expect(0);
    }
    assert_eq!(world.db().count("select count(*) from installation"), 1);
    let first = world.store().await.installation().await.unwrap();
    assert_eq!(first.shards, if world.is_embedded() { 1 } else { 16 });
    let later = world.with("shards", 3).store().await.installation().await.unwrap();
    assert_eq!(later, first, "what the first migration fixed stays");
}
