//! A post's history through the merge that a drain calls, in memory: the same entries, the same fold, the same states.

use std::collections::HashMap;

use super::spool::Rating;
use crate::entry::{Action, Batch, Entry, Line, Position, Shard};
use crate::merge::{self, Loaded, LoadedPost, merge};
use crate::model::{PostId, Time};
use crate::smoothing::{Average, LaneName, Params};

/// A post's log.
pub struct Log {
    post: PostId,
    lines: Vec<Line>,
}

/// What a replay leaves.
pub struct Replayed {
    /// The states after the last entry of every clock hour, and at the cuts; in order of time.
    pub states: Vec<Average>,
    /// Ratings that count in the end, and how many of them took the surge lane, without those of attacks.
    pub honest: (u64, u64),
}

impl Log {
    /// The log of a post's ratings, which are in order of time.
    pub fn new(post: &PostId, ratings: &[Rating]) -> Self {
        let line = |(i, rating): (usize, &Rating)| {
            let Rating { user, score, at } = rating.clone();
            let entry = Entry::new(post.clone(), user, at, Action::Rate(score)).stated();
            Line { position: Position::new(0, i as u64 + 1), entry: Ok(entry) }
        };
        Self { post: post.clone(), lines: ratings.iter().enumerate().map(line).collect() }
    }

    /// Merges it. It is cut before each of the moments `cuts`, which are in order: the states there are exact. The cuts
    /// change no state, as they do in a drain.
    pub fn replay(
        &self,
        cuts: &[Time],
        params: &Params,
        is_honest: impl Fn(&Rating) -> bool,
        ratings: &[Rating],
    ) -> Replayed {
        let mut rows: HashMap<merge::Key, merge::Rating> = HashMap::new();
        let mut average = Average::default();
        let mut states = Vec::new();
        let mut rest = &self.lines[..];
        let ends = cuts.iter().map(|cut| Some(*cut)).chain([None]);
        for end in ends {
            let part = end.map_or(rest.len(), |end| rest.partition_point(|line| time_of(line) < end));
            let (lines, after) = rest.split_at(part);
            rest = after;
            let Some(batch) = Batch::of(Shard(0), Position::START, lines.to_vec()) else { continue };
            let loaded = self.load(&batch, average, &rows);
            let merged = merge(&batch, loaded, params);
            states.extend(merged.history.iter().map(|hour| hour.average));
            if let Some(last) = merged.averages.first() {
                average = last.after;
            }
            rows.extend(merged.rated.into_iter().chain(merged.ratings));
        }
        let mut honest = (0, 0);
        for rating in ratings.iter().filter(|rating| is_honest(rating)) {
            let key = (self.post.clone(), rating.user.clone());
            // A user who rated twice is counted once.
            if let Some(row) = rows.remove(&key) {
                honest.0 += 1;
                honest.1 += u64::from(row.row.lane == LaneName::Surge);
            }
        }
        Replayed { states, honest }
    }

    fn load(&self, batch: &Batch, average: Average, rows: &HashMap<merge::Key, merge::Rating>) -> Loaded {
        let mut loaded = Loaded::default();
        loaded.posts.insert(self.post.clone(), LoadedPost { average, ..LoadedPost::default() });
        if !rows.is_empty() {
            for key in merge::keys_of(batch, |_| true) {
                if let Some(row) = rows.get(&key) {
                    loaded.ratings.insert(key, *row);
                }
            }
        }
        loaded
    }
}

fn time_of(line: &Line) -> Time {
    line.entry.as_ref().map_or(Time::default(), |entry| entry.at)
}

impl Replayed {
    /// The state that holds at a moment, evaluated there; nothing before the first rating.
    pub fn at(&self, moment: Time, params: &Params) -> Option<Average> {
        Some(self.before(moment)?.at(moment, params))
    }

    /// The last state from before a moment, as it was.
    pub fn before(&self, moment: Time) -> Option<&Average> {
        let next = self.states.partition_point(|state| state.last.is_some_and(|last| last <= moment));
        self.states.get(next.checked_sub(1)?)
    }

    /// The last moment of the history.
    pub fn end(&self) -> Option<Time> {
        self.states.last()?.last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{MINUTE_MS, Score, UserId};
    use crate::smoothing::{Knobs, UserState, When};

    #[test]
    fn a_replay_is_the_fold_however_it_is_cut() {
        let params = Params::new(&Knobs::default()).unwrap();
        let post = PostId::parse("p").unwrap();
        let start = Time::from_ms(1_500_000_000_000);
        // Some users rate again.
        let rating = |i: i64| Rating {
            user: UserId::parse(&format!("u{}", i * 7 % 150)).unwrap(),
            score: Score::parse((i * i + i / 150 * 3) % 6).unwrap(),
            // The last come at once.
            at: start.plus_ms(i.min(180).pow(2) * MINUTE_MS),
        };
        let ratings: Vec<Rating> = (0..200).map(rating).collect();
        let (mut average, mut users) = (Average::default(), BTreeMap::<_, UserState>::new());
        for Rating { user, score, at } in &ratings {
            users.entry(user).or_default().rate(
                &mut average,
                *score,
                When { at: *at, is_stated: true },
                &params,
            );
        }
        let log = Log::new(&post, &ratings);
        for cuts in [vec![], (0..500).map(|i| start.plus_ms(i * 100 * MINUTE_MS)).collect()] {
            let replayed = log.replay(&cuts, &params, |_| true, &ratings);
            assert_eq!(replayed.states.last(), Some(&average));
            assert_eq!(replayed.honest.0, 150);
            assert!(replayed.honest.1 > 0, "the last came in a surge");
            assert_eq!(replayed.end(), average.last);
            assert_eq!(replayed.before(start.plus_ms(-1)), None);
        }
    }
}
