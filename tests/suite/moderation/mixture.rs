//! Random entries of every kind, many of them: the averages are what the rows say, in both set-ups and bit for bit the
//! same.
//!
//! `ENTRIES=1000000 scripts/test every_kind` tries a million; an ordinary run fewer.

use std::collections::BTreeMap;
use std::sync::Arc;

use damper::App;
use damper::app::drain::DrainOrder;
use damper::entry::{Action, Entry, Hold, Position, Ruling, Shard, Terms, Which, Window};
use damper::merge::{HeldRating, Key};
use damper::model::Time;
use damper::store::Trigger;

use super::{DAY_MS, HOUR_MS, decision, user};
use crate::support::log::{POSTS, Rng, START, bits, entry, post_id, posts};
use crate::support::world::World;

/// Entries of an ordinary run.
const ENTRIES: u64 = 20_000;
/// The parts in which they are appended and drained.
const CHUNKS: u64 = 20;
/// Entries of one append.
const APPENDED: usize = 1_000;
/// The time from the first to the last.
const SPAN_MS: i64 = 120 * DAY_MS;
const USERS: u64 = 2_000;

/// Makes entries, and knows the exclusions that can be undone.
struct Mixture {
    rng: Rng,
    count: u64,
    exclusions: Vec<(String, Position)>,
}

impl Mixture {
    fn any<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.below(of.len() as u64) as usize]
    }

    /// A window of some hours that begins up to ten days before `at`.
    fn window(&mut self, at: Time) -> Window {
        let from = at.plus_ms(-(self.rng.below(10 * DAY_MS as u64) as i64) - DAY_MS);
        let to = from.plus_ms(1 + self.rng.below(24 * HOUR_MS as u64) as i64);
        Window::new(from, to, Vec::new(), at).expect("a window")
    }

    fn ruling(&mut self, post: &str, rater: &str, at: Time) -> Ruling {
        match self.rng.below(8) {
            0 => Ruling::Hold(*self.any(&[None, Some(Hold::Off), Some(Hold::Surge), Some(Hold::Always)])),
            1 => Ruling::Exclude(self.window(at)),
            2 => match self.exclusions.iter().position(|(of, _)| of == post) {
                Some(found) => Ruling::Undo(self.exclusions.swap_remove(found).1),
                None => Ruling::Thaw,
            },
            3 => Ruling::Approve(Which::Window(self.window(at))),
            4 => Ruling::Reject(Which::Window(self.window(at))),
            5 => Ruling::Approve(Which::Seen(user(rater), damper::model::Score::parse(3).expect("a score"))),
            6 => Ruling::Approve(Which::User(user(rater))),
            _ => Ruling::Reject(Which::User(user(rater))),
        }
    }

    fn entry(&mut self, number: u64) -> Entry {
        let at = START.plus_ms((SPAN_MS as u64 * number / self.count) as i64);
        let post = *self.any(&POSTS);
        let rater = format!("u{}", self.rng.below(USERS));
        let score = self.rng.below(6) as i64;
        let rate = |score, at| entry(post, &rater, score, at);
        let early = at.plus_ms(-(self.rng.below(30 * DAY_MS as u64) as i64));
        let hold = *self.any(&[Hold::Off, Hold::Off, Hold::Surge]);
        let is_too_young = self.rng.below(50) == 0;
        match self.rng.below(1_000) {
            0..80 => rate(None, at),
            80..160 => stated(rate(Some(score), early)),
            160..180 => stated(rate(None, early)),
            // Many decisions on one rating, few on all of a time.
            180..186 => {
                let ruling = self.ruling(post, &rater, at);
                Entry::new(post_id(post), user("mo"), at, Action::Decide(Arc::new(decision(ruling))))
            }
            // A burst: the post takes many within the hour.
            186..200 => rate(Some(score), at.plus_ms(-1)),
            _ => Entry { terms: Terms { hold, is_too_young, ..Terms::default() }, ..rate(Some(score), at) },
        }
    }
}

fn stated(entry: Entry) -> Entry {
    Entry { terms: Terms { is_stated: true, ..entry.terms }, ..entry }
}

/// Appends a chunk, shard by shard, and remembers its exclusions.
async fn append(app: &App, mixture: &mut Mixture, entries: Vec<Entry>, shards: u16) {
    let mut by_shard: BTreeMap<u16, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        by_shard.entry(Shard::of(&entry.post, shards).0).or_default().push(entry);
    }
    for (shard, entries) in by_shard {
        let mut positions = Vec::with_capacity(entries.len());
        for entries in entries.chunks(APPENDED) {
            positions.extend(app.intake().append(Shard(shard), entries, None).await.expect("they are held"));
        }
        for (entry, position) in entries.iter().zip(positions) {
            if let Action::Decide(decision) = &entry.action
                && matches!(decision.deed, Ruling::Exclude(_))
            {
                mixture.exclusions.push((entry.post.to_string(), position));
            }
        }
    }
}

pub async fn random_entries_of_every_kind_verify_in_both_set_ups() {
    let count = std::env::var("ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(ENTRIES);
    let mut outcomes = Vec::new();
    for world in [World::embedded(), World::servers()] {
        let is_embedded = world.is_embedded();
        // One shard, so that both logs have one order; and batches that are cut elsewhere.
        let world = world.with("shards", 1).with("drain.batch_max", if is_embedded { 777 } else { 20_000 });
        let (app, store) = (world.app().await, world.store().await);
        app.catalogue().ensure_posts(posts(&POSTS)).await.unwrap();
        let mut mixture = Mixture { rng: Rng(count), count, exclusions: Vec::new() };
        for chunk in 0..CHUNKS {
            let numbers = chunk * count / CHUNKS..(chunk + 1) * count / CHUNKS;
            let entries: Vec<Entry> = numbers.map(|number| mixture.entry(number)).collect();
            let now = entries.last().expect("an entry").at;
            append(&app, &mut mixture, entries, 1).await;
            // What has been held for three days is released, once it is merged.
            let drained = app.drainer().drain(now, &DrainOrder::quiet(Trigger::Flush)).await;
            assert!(drained.failure.is_none() && drained.complete, "{drained:?}");
            assert_eq!(drained.quarantined, 0);
            // As the worker does it, whatever the clocks say.
            let overdue = store.held_before(now.plus_ms(-3 * DAY_MS), 1_000).await.unwrap();
            let release = |((post, user), held): (Key, HeldRating)| {
                Entry::new(post, user, now, Action::Release(held.position))
            };
            append(&app, &mut mixture, overdue.into_iter().map(release).collect(), 1).await;
        }
        world.flush();
        world.assert_consistent();
        let ids: Vec<_> = POSTS.iter().map(|post| post_id(post)).collect();
        let states = store.posts(&ids).await.unwrap();
        let states: Vec<_> = states.into_iter().map(|state| state.expect("a post")).collect();
        let kinds = [
            "select count(*) from ratings where status = 'counted'",
            "select count(*) from ratings where status = 'excluded'",
            "select count(*) from held",
            "select count(*) from withdrawals",
        ];
        let rows = kinds.map(|kind| world.db().count(kind));
        assert!(rows.iter().all(|rows| *rows > 0), "every kind is left: {rows:?}");
        let figures: Vec<_> = states.iter().map(|state| (bits(&state.average), state.standing)).collect();
        crate::export::comes_back(&world);
        outcomes.push((figures, rows));
    }
    assert_eq!(outcomes[0], outcomes[1]);
}
