//! The oracle's judgement: what is merged must be what a naive fold of the copied log comes to.
//!
//! [`refold`](crate::refold) knows no batches, checkpoints, steps or retries. Places, counts, sums and states must be the
//! same; figures that are summed up in another order may differ by rounding. Where rounding may decide which lane a rating
//! takes (a tie), the lanes and what follows from them are not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use damper::entry::{Position, Shard};
use damper::merge::{HeldRating, Key, Rating, Standing, Withdrawal};
use damper::model::{PostId, Time};
use damper::smoothing::{Average, LaneName, Params};

use crate::naive::{self, Lane};
use crate::outcome::{Law, Violation};
use crate::refold::{self, Places, Post};
use crate::tables::{REFUSED_USER, Tables};
use crate::world::World;

const DAY_MS: i64 = 24 * 3_600_000;
/// A post that hardly moves is not ranked again.
const STILL: f64 = 1e-5;

type Judged<T = ()> = Result<T, Violation>;

/// Whether a mean lies within the scale, up to the rounding that the fifth law of docs/SMOOTHING.md allows.
pub fn is_a_score(mean: f64) -> bool {
    (-1e-12..=5.0 + 1e-12).contains(&mean)
}

fn same<T: PartialEq + Debug>(law: Law, what: impl Fn() -> String, found: T, wanted: T) -> Judged {
    if found == wanted {
        return Ok(());
    }
    Err(Violation::of(law, format!("{}: {found:?}, not {wanted:?}", what())))
}

/// The shards as the naive fold has them, up to the checkpoints.
fn refold(world: &World, params: &Params) -> Vec<refold::Shard> {
    let fold = |(lines, checkpoint): (&Vec<(Position, Vec<u8>)>, &damper::store::Checkpoint)| {
        let mut shard = refold::Shard::new(params, world.catalogue.iter().cloned(), REFUSED_USER);
        let merged = lines.iter().take_while(|(position, _)| *position <= checkpoint.position);
        merged.for_each(|(position, bytes)| shard.fold(*position, bytes));
        shard
    };
    world.oracle.lines.iter().zip(&world.tables.checkpoints).map(fold).collect()
}

/// Compares everything that is merged; returns how many posts were looked at, and how many of them are ties. A post with
/// a decision under way is left out: its ratings are ahead of its average.
pub fn compare(world: &World, params: &Params) -> Judged<(u64, u64)> {
    let tables = &world.tables;
    let (mut looks, mut ties) = (0, 0);
    let mut found = BTreeSet::new();
    for (number, shard) in refold(world, params).iter().enumerate() {
        let number = Shard(number as u16);
        for (id, post) in &shard.posts {
            if Shard::of(id, crate::world::SHARDS) != number || under_way(tables, number) == Some(id.clone())
            {
                continue;
            }
            let is_tie = post.figures.is_tie;
            looks += 1;
            ties += u64::from(is_tie);
            let of_post = tables.posts.contains_key(id);
            same(Law::Ratings, || format!("{id} exists"), of_post, post.exists)?;
            found.extend(of_post.then(|| id.clone()));
            // Which ratings are held hung on a tie.
            if !(is_tie && post.is_lane_held) {
                Look { id, post, tables, number }.compare(params)?;
            }
        }
        // After the posts: where data is lost, what readers see of it is the clearer word.
        let in_shard = |((own, place), _): (&(Shard, Position), _)| (*own == number).then_some(*place);
        let quarantined: BTreeSet<Position> = tables.quarantine.iter().filter_map(in_shard).collect();
        same(Law::Quarantine, || format!("shard {number}"), &quarantined, &shard.quarantined)?;
    }
    let unknown = tables.posts.keys().find(|id| {
        let is_deciding = |shard: &Shard| under_way(tables, *shard).as_ref() == Some(*id);
        !found.contains(*id) && !tables.under_way.keys().any(is_deciding)
    });
    same(Law::Ratings, || "a post of no line".into(), unknown, None)?;
    Ok((looks, ties))
}

fn under_way(tables: &Tables, shard: Shard) -> Option<PostId> {
    tables.under_way.get(&shard).and_then(|it| it.post())
}

/// A look at one post.
struct Look<'a> {
    id: &'a PostId,
    post: &'a Post,
    tables: &'a Tables,
    number: Shard,
}

impl Look<'_> {
    fn compare(&self, params: &Params) -> Judged {
        let (average, version) = self.tables.averages.get(self.id).copied().unwrap_or_default();
        same(Law::Averages, || format!("the version of {}", self.id), version, self.post.version)?;
        self.average(&average, params)?;
        self.standing()?;
        self.users(&average)?;
        self.decisions()?;
        self.history()
    }

    fn standing(&self) -> Judged {
        let Post { is_frozen, hold, .. } = *self.post;
        let (held, excluded) = self.post.under_review();
        let wanted = Standing { is_frozen, hold, held, excluded };
        same(Law::Standings, || self.id.to_string(), self.tables.standing(self.id), wanted)
    }

    fn decisions(&self) -> Judged {
        let found = self.tables.exclusions.iter().filter(|((id, _), _)| id == self.id);
        let found: Vec<_> = found.map(|((_, at), it)| (*at, it.excluded, it.is_undone)).collect();
        let wanted = self.post.exclusions.iter().map(|(at, it)| (*at, it.count, it.is_undone)).collect();
        same(Law::Decisions, || format!("the exclusions of {}", self.id), found, wanted)?;
        let audit =
            self.tables.audit.iter().filter(|((shard, _), it)| *shard == self.number && it.post == *self.id);
        let found: Vec<_> = audit
            .map(|((_, at), it)| {
                let is_refused = it.outcome.refused.is_some();
                (*at, refold::Done { touched: it.outcome.touched, held: it.outcome.held, is_refused })
            })
            .collect();
        let wanted = self.post.decided.iter().map(|(at, done)| (*at, *done)).collect();
        same(Law::Decisions, || format!("the audit of {}", self.id), found, wanted)
    }

    fn history(&self) -> Judged {
        let found = self.tables.history.iter().filter(|((id, _), _)| id == self.id);
        let figures = |(arrivals, average): &(u64, Average)| (*arrivals, average.count(), average.sum());
        let found: Vec<_> = found.map(|((_, hour), it)| (*hour, figures(it))).collect();
        let wanted = self.post.hours.iter().map(|(hour, it)| (*hour, *it)).collect();
        same(Law::History, || self.id.to_string(), found, wanted)
    }

    fn average(&self, average: &Average, params: &Params) -> Judged {
        let figures = &self.post.figures;
        let span = average.born.zip(average.last).map(|(born, last)| (born.ms(), last.ms()));
        let what = |what: &'static str| move || format!("{what} of {}", self.id);
        same(Law::Averages, what("times"), span, figures.span)?;
        same(Law::Averages, what("histogram"), average.histogram, self.post.histogram())?;
        let sum = average.histogram.iter().zip(0..).map(|(count, score)| count * score).sum();
        let count = average.histogram.iter().sum();
        same(Law::Averages, what("count and sum"), (average.count(), average.sum()), (count, sum))?;
        if let Some(difference) = figures.difference(average, params) {
            return Err(Violation::of(Law::Averages, format!("{}: {difference}", self.id)));
        }
        if figures.is_tie {
            return Ok(());
        }
        self.close("intensity", average.intensity, figures.intensity())?;
        let of = |lane: Lane| {
            let counted = figures.users.values().filter_map(|user| user.rating).filter(|it| !it.is_out);
            let mine: Vec<_> = counted.filter(|it| it.left.lane == lane).collect();
            let count: f64 = mine.iter().map(|it| 1.0 - it.missing_count).sum();
            let sum: f64 = mine.iter().map(|it| it.score - it.missing_score).sum();
            (mine.len() as u64, figures.vested(lane), count, sum)
        };
        for (found, lane) in [(&average.calm, Lane::Calm), (&average.surge, Lane::Surge)] {
            let (count, vested, settled_count, settled_sum) = of(lane);
            same(Law::Averages, what("lane's count"), found.count, count)?;
            self.close("vested", found.vested, vested)?;
            self.close("settled count", found.settled_count, settled_count)?;
            self.close("settled sum", found.settled_sum, settled_sum)?;
        }
        Ok(())
    }

    fn close(&self, what: &str, found: f64, wanted: f64) -> Judged {
        let is_close = (found - wanted).abs() < self.post.figures.slack();
        if is_close || self.post.figures.is_tie {
            return Ok(());
        }
        Err(Violation::of(Law::Averages, format!("{what} of {}: {found}, not {wanted}", self.id)))
    }

    /// The rows of all users, those that are there and those that must be.
    fn users(&self, average: &Average) -> Judged {
        let is_own = |key: &&Key| key.0 == *self.id;
        let tables = self.tables;
        let keys = tables.ratings.keys().chain(tables.held.keys()).chain(tables.withdrawals.keys());
        let mut keys: BTreeSet<Key> = keys.filter(is_own).cloned().collect();
        keys.extend(self.post.users.keys().map(|user| (self.id.clone(), user.clone())));
        for key in keys {
            let places = self.post.users.get(&key.1).copied();
            let user = places.map(|places| self.post.user(&places)).unwrap_or_default();
            self.user(&key, &places.unwrap_or_default(), &user, average)?;
        }
        Ok(())
    }

    fn user(&self, key: &Key, places: &Places, user: &naive::User, average: &Average) -> Judged {
        let clock = |lane: LaneName| match lane {
            LaneName::Calm => average.calm.clock,
            LaneName::Surge => average.surge.clock,
        };
        let kept = self.tables.kept(key);
        let rating =
            |it: Rating| (it.row.score.get().into(), it.rated_at.ms(), it.is_excluded, Some(it.position));
        let wanted = user.rating.map(|it| (it.score, it.own, it.is_out, places.rated));
        same(Law::Ratings, || format!("the rating of {key:?}"), kept.rating.map(rating), wanted)?;
        if let Some((found, wanted)) = kept.rating.zip(user.rating) {
            let since = if found.is_excluded { 0.0 } else { clock(found.row.lane) };
            let weight = (found.row.vest_clock - since).exp();
            self.close("a rating's weight", weight, wanted.left.weight)?;
            self.close("its missing sum", found.row.unvested_sum * weight, wanted.missing_score)?;
            self.close("its missing count", found.row.unvested_count * weight, wanted.missing_count)?;
        }
        let held =
            |it: HeldRating| (it.score.get().into(), it.rated_at.ms(), it.is_excluded, Some(it.position));
        let wanted = user.held.map(|it| (it.score, it.own, it.is_out, places.held));
        same(Law::Ratings, || format!("the held rating of {key:?}"), kept.held.map(held), wanted)?;
        if let Some((found, wanted)) = kept.held.zip(user.held) {
            let weight = (found.arrival.vest_clock - clock(found.arrival.lane)).exp();
            self.close("a held rating's weight", weight, wanted.left.weight)?;
        }
        let mark = |it: Withdrawal| (it.position, it.mark.map(|mark| mark.withdrawn_at.ms()));
        let wanted = places.gone.map(|place| (place, user.mark.map(|(_, at)| at)));
        same(Law::Ratings, || format!("the withdrawal of {key:?}"), kept.withdrawal.map(mark), wanted)?;
        if let Some((found, (wanted, _))) = kept.withdrawal.and_then(|it| it.mark).zip(user.mark) {
            let weight = (found.arrival.vest_clock - clock(found.arrival.lane)).exp();
            self.close("a mark's weight", weight, wanted.weight)?;
        }
        Ok(())
    }
}

/// Judges a world in which every appended entry has been drained by a tick. Its digest goes into the trace.
pub fn judge(world: &mut World, params: &Params, last_tick: Time) -> Judged {
    for (log, checkpoint) in world.logs.iter().zip(&world.tables.checkpoints) {
        let waiting = log.backlog(checkpoint.position).waiting;
        same(Law::Ends, || "entries that wait after the last drain".into(), waiting, 0)?;
    }
    for (key, wishes) in world.oracle.wishes.iter().filter(|((_, user), _)| user.as_str() != REFUSED_USER) {
        let score = world.tables.newest(key).map(|stored| stored.score);
        if !wishes.may_be(score) {
            let words = format!("{key:?} ended as {score:?}, which is none of {:?}", wishes.candidates());
            return Err(Violation::of(Law::OwnRating, words));
        }
    }
    let merged = |count: fn(&damper::store::Checkpoint) -> u64| -> u64 {
        world.tables.checkpoints.iter().map(count).sum()
    };
    let reported =
        |count: fn(&damper::store::DrainRun) -> u64| -> u64 { world.tables.drains.iter().map(count).sum() };
    let (applied, quarantined) = (merged(|it| it.applied), merged(|it| it.quarantined));
    if reported(|it| it.applied) > applied || reported(|it| it.quarantined) > quarantined {
        let words = format!("drains report more than {applied} applied and {quarantined} quarantined");
        return Err(Violation::of(Law::Reports, words));
    }
    ranking(world, params, last_tick)?;
    for (post, (average, _)) in &world.tables.averages {
        for days in [0, 1, 400] {
            let at = average.last.unwrap_or_default().max(world.now).plus_ms(days * DAY_MS);
            let mean = average.at(at, params).smoothed_mean(params);
            if mean.is_some_and(|mean| !is_a_score(mean)) {
                return Err(Violation::of(
                    Law::Averages,
                    format!("the published mean of {post} is {mean:?}"),
                ));
            }
        }
    }
    let figures = format!("{:?} {:?}", world.tables.averages, world.tables.ratings);
    let numbers: Vec<u64> = figures.bytes().map(u64::from).collect();
    world.trace.add(&numbers);
    Ok(())
}

/// Posts that move are ranked as of the last tick, all by their mean at that moment.
fn ranking(world: &World, params: &Params, last_tick: Time) -> Judged {
    for shard in refold(world, params) {
        for (id, post) in shard.posts.iter().filter(|(_, post)| post.version != Position::START) {
            let Some(ranked) = world.tables.ranking.get(id) else {
                return Err(Violation::of(Law::Ranking, format!("{id} is not ranked")));
            };
            let mut later = post.figures.clone();
            later.wait_until(last_tick.max(ranked.as_of).ms());
            let (found, wanted) = (ranked.smoothed, later.means().map(|(mean, _)| mean));
            let differs = found.is_some() != wanted.is_some()
                || found.zip(wanted).is_some_and(|(found, wanted)| (found - wanted).abs() > STILL);
            if differs && !post.figures.is_tie {
                let words = format!("{id} as of {last_tick}: {ranked:?}, not {wanted:?}");
                return Err(Violation::of(Law::Ranking, words));
            }
        }
    }
    Ok(())
}

/// Whether two worlds hold the same, bit for bit.
pub fn same_tables(found: &Tables, wanted: &Tables) -> Judged {
    each("average", &found.averages, &wanted.averages)?;
    each("rating", &found.ratings, &wanted.ratings)?;
    each("held rating", &found.held, &wanted.held)?;
    each("withdrawal", &found.withdrawals, &wanted.withdrawals)?;
    // No standing is an ordinary one.
    let standings = |it: &Tables| it.posts.keys().map(|id| (id.clone(), it.standing(id))).collect();
    each("standing", &standings(found), &standings(wanted))?;
    each("exclusion", &found.exclusions, &wanted.exclusions)?;
    each("decision", &found.audit, &wanted.audit)?;
    each("hour", &found.history, &wanted.history)?;
    each("quarantined entry", &found.quarantine, &wanted.quarantine)?;
    each("post", &found.posts, &wanted.posts)
}

/// Texts of numbers are as exact as their bits, and tell one zero from the other.
fn each<K: Ord + Debug, V: Debug>(what: &str, found: &BTreeMap<K, V>, wanted: &BTreeMap<K, V>) -> Judged {
    let keys: BTreeSet<&K> = found.keys().chain(wanted.keys()).collect();
    for key in keys {
        let [found, wanted] = [found, wanted].map(|table| format!("{:?}", table.get(key)));
        same(Law::Cuts, || format!("the {what} {key:?}"), found, wanted)?;
    }
    Ok(())
}
