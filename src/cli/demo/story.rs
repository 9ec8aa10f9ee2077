//! The story that `damper demo` tells: who rates what, and when. Pure, and the same for the same seed and end.
//!
//! Three posts have two months of ordinary ratings. Then, within twelve hours, one of them gets about as many ratings of 0 and
//! 1 as it had in all, from accounts that have rated nothing else. Ordinary ratings go on. Nobody acts for a week.

use crate::error::Invalid;
use crate::model::post::{Post, Title};
use crate::model::{DAY_MS, HOUR_MS, PostId, Score, Time, UserId};

/// Ordinary ratings before the bomb.
const CALM_MS: i64 = 60 * DAY_MS;
/// How long the bomb lasts.
const BOMB_MS: i64 = DAY_MS / 2;
/// What happens afterwards.
const AFTER_MS: i64 = 7 * DAY_MS;
/// Ratings of the bomb.
const BOMB: u32 = 2_400;
/// The posts: id, title, ordinary ratings a day, and how many of a hundred of these are 0, 1, … 5. The first one is bombed.
const POSTS: [(&str, &str, u32, [u8; Score::COUNT]); 3] = [
    ("the-last-lantern", "The Last Lantern", 40, [1, 3, 5, 13, 36, 42]),
    ("harbour-lights", "Harbour Lights", 9, [2, 5, 11, 28, 34, 20]),
    ("paper-planes", "Paper Planes", 5, [1, 2, 6, 17, 38, 36]),
];
/// The same for the bomb.
const HOSTILE: [u8; Score::COUNT] = [75, 25, 0, 0, 0, 0];
/// Users who rate as people do, each a post or more.
const PEOPLE: u64 = 9_000;

/// A rating of the story.
pub struct Rating {
    pub at: Time,
    pub post: PostId,
    pub user: UserId,
    pub score: Score,
}

/// The story, up to a moment.
pub struct Story {
    /// The first ratings.
    pub begin: Time,
    /// The bomb's first moment, and the first moment after it.
    pub bomb: (Time, Time),
    /// Where the story ends.
    pub end: Time,
    /// The posts; the first one is bombed.
    pub posts: Vec<Post>,
    /// In order of time.
    pub ratings: Vec<Rating>,
}

impl Story {
    /// The story of a seed that ends at `end`.
    pub fn tell(seed: u64, end: Time) -> Result<Self, Invalid> {
        let bombed = end.plus_ms(-AFTER_MS - BOMB_MS);
        let (begin, bomb) = (bombed.plus_ms(-CALM_MS), (bombed, bombed.plus_ms(BOMB_MS)));
        let mut chance = Chance(seed);
        let (mut posts, mut ratings) = (Vec::new(), Vec::new());
        for (id, title, per_day, scores) in POSTS {
            let id = PostId::parse(id)?;
            posts.push(Post::new(id.clone(), Title::parse(title)?, None, begin));
            let count = (end.ms() - begin.ms()) / DAY_MS * i64::from(per_day);
            for _ in 0..count {
                let (at, user) = (chance.between(begin, end), format!("u{}", chance.below(PEOPLE)));
                let score = chance.score(&scores)?;
                ratings.push(Rating { at, post: id.clone(), user: UserId::parse(&user)?, score });
            }
        }
        for n in 0..BOMB {
            let (at, post) = (chance.between(bomb.0, bomb.1), posts[0].id.clone());
            let (user, score) = (UserId::parse(&format!("b{n}"))?, chance.score(&HOSTILE)?);
            ratings.push(Rating { at, post, user, score });
        }
        ratings.sort_by_key(|rating| rating.at);
        Ok(Self { begin, bomb, end, posts, ratings })
    }

    /// The moments at which what has arrived is merged: every six hours, hourly while the bomb falls and a day longer, then every
    /// three hours. Only what is shown depends on them; the averages do not.
    pub fn drains(&self) -> Vec<Time> {
        let mut drains = Vec::new();
        let mut at = self.begin;
        while at < self.end {
            at = if at < self.bomb.0 {
                at.plus_ms(6 * HOUR_MS).min(self.bomb.0)
            } else if at < self.bomb.1.plus_ms(DAY_MS) {
                at.plus_ms(HOUR_MS)
            } else {
                at.plus_ms(3 * HOUR_MS).min(self.end)
            };
            drains.push(at);
        }
        drains
    }
}

/// Chance from a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, from: Time, to: Time) -> Time {
        from.plus_ms(self.below((to.ms() - from.ms()).unsigned_abs()) as i64)
    }

    /// A score, each as likely as its share of a hundred.
    fn score(&mut self, shares: &[u8; Score::COUNT]) -> Result<Score, Invalid> {
        let mut left = self.below(100);
        let mut is_it = |share: &&u8| {
            let is_it = left < u64::from(**share);
            left = left.saturating_sub(u64::from(**share));
            is_it
        };
        let score = shares.iter().take_while(|share| !is_it(share)).count();
        Score::parse(score as i64)
    }
}

/// The rule that many sites use: at each tick, nine parts of the old value and one of the mean of what arrived since. It
/// forgets within an hour what took years, however many ratings stand behind it.
pub struct BatchRule {
    /// The value now.
    pub value: Option<f64>,
    sum: u32,
    count: u32,
}

impl BatchRule {
    pub fn new() -> Self {
        Self { value: None, sum: 0, count: 0 }
    }

    /// A rating arrives.
    pub fn take(&mut self, score: Score) {
        self.sum += u32::from(score.get());
        self.count += 1;
    }

    /// A tick.
    pub fn tick(&mut self) {
        if self.count > 0 {
            let batch = f64::from(self.sum) / f64::from(self.count);
            self.value = Some(self.value.map_or(batch, |old| old * 0.9 + batch * 0.1));
            (self.sum, self.count) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Time = Time::from_ms(1_790_000_000_000);

    #[test]
    fn a_story_is_the_same_for_its_seed_and_ends_where_it_should() {
        let key = |rating: &Rating| (rating.at, rating.user.clone(), rating.score);
        let keys = |seed| Story::tell(seed, END).unwrap().ratings.iter().map(key).collect::<Vec<_>>();
        assert_eq!(keys(1), keys(1));
        assert_ne!(keys(1), keys(2));
        let story = Story::tell(1, END).unwrap();
        assert!(story.ratings.iter().all(|rating| story.begin <= rating.at && rating.at < END));
        assert!(story.ratings.is_sorted_by_key(|rating| rating.at));
        let drains = story.drains();
        assert_eq!(drains.last(), Some(&END));
        assert!(drains.is_sorted() && drains.contains(&story.bomb.0) && drains.contains(&story.bomb.1));
    }

    #[test]
    fn the_bomb_is_as_large_as_what_was_there_and_only_of_low_scores() {
        let story = Story::tell(7, END).unwrap();
        let of_first = || story.ratings.iter().filter(|rating| rating.post == story.posts[0].id);
        let before = of_first().filter(|rating| rating.at < story.bomb.0).count();
        let bomb: Vec<_> = of_first().filter(|rating| rating.user.as_str().starts_with('b')).collect();
        assert!((2_200..2_600).contains(&before) && bomb.len() == BOMB as usize, "{before}");
        assert!(bomb.iter().all(|rating| rating.score.get() <= 1));
        assert!(bomb.iter().all(|rating| story.bomb.0 <= rating.at && rating.at < story.bomb.1));
    }

    #[test]
    fn the_batch_rule_forgets_fast() {
        let mut rule = BatchRule::new();
        rule.tick();
        assert_eq!(rule.value, None);
        for score in [4].into_iter().chain([0; 22]) {
            rule.take(Score::parse(score).unwrap());
            rule.tick();
        }
        assert!(rule.value.unwrap() < 0.4);
    }
}
