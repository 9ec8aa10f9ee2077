//! What moderators decide, by chance but seldom without an effect.

use damper::entry::{Hold, Position, Ruling, Shard, Which, Window};
use damper::merge::Key;
use damper::model::{HOUR_MS, PostId, Score, Time};

use crate::simulation::Simulation;
use crate::world::SHARDS;

impl Simulation {
    /// A decision on a post.
    pub fn deed(&mut self, post: &PostId) -> Ruling {
        match self.rng.below(20) {
            0 => Ruling::Freeze,
            1..3 => Ruling::Thaw,
            3..6 => {
                Ruling::Hold(self.rng.pick(&[None, Some(Hold::Off), Some(Hold::Surge), Some(Hold::Always)]))
            }
            6..10 => Ruling::Exclude(self.window()),
            10..14 => Ruling::Undo(self.exclusion(post)),
            14..17 => Ruling::Approve(self.which(post)),
            _ => Ruling::Reject(self.which(post)),
        }
    }

    fn window(&mut self) -> Window {
        let now = self.world().now;
        let from = now.plus_ms(-self.hours(48));
        let to = from.plus_ms(1 + self.hours(48));
        let mut scores = Vec::new();
        for _ in 0..self.rng.pick(&[0, 0, 1, 3]) {
            scores.push(Score::parse(self.rng.below(6) as i64).expect("a score"));
        }
        let ends: (Option<Time>, Option<Time>) =
            (self.rng.pick(&[None, Some(from)]), self.rng.pick(&[None, Some(to)]));
        let window = Window::open(ends.0, ends.1, scores.clone(), now);
        window.unwrap_or_else(|_| Window::open(None, None, scores, now).expect("a window"))
    }

    fn hours(&mut self, most: i64) -> i64 {
        self.rng.below((most * HOUR_MS) as usize) as i64
    }

    /// The place of an exclusion, undone or not, or of some newer line of the log.
    fn exclusion(&mut self, post: &PostId) -> Position {
        let shard = Shard::of(post, SHARDS);
        let known: Vec<Position> = {
            let world = self.world();
            let newest = world.oracle.lines[shard.index()].iter().rev().take(3).map(|(place, _)| *place);
            let exclusions = world.tables.exclusions.keys().filter(|(id, _)| id == post);
            exclusions.map(|(_, place)| *place).chain(newest).collect()
        };
        if known.is_empty() { Position::new(1, 1) } else { self.rng.pick(&known) }
    }

    /// A held rating, most often one that is held, or those of a window.
    fn which(&mut self, post: &PostId) -> Which {
        if self.rng.hits(3_000) {
            return Which::Window(self.window());
        }
        let held: Vec<(Key, Score)> = {
            let world = self.world();
            let of_post = world.tables.held.iter().filter(|((id, _), _)| id == post);
            of_post.map(|(key, held)| (key.clone(), held.score)).collect()
        };
        let number = self.rng.below(held.len() + 1);
        let Some(((_, user), score)) = held.get(number).cloned() else {
            let number = self.rng.below(self.users.len());
            return Which::User(self.users[number].clone());
        };
        match self.rng.below(3) {
            0 => Which::User(user),
            1 => Which::Seen(user, score),
            _ => Which::Seen(user, Score::parse(self.rng.below(6) as i64).expect("a score")),
        }
    }
}
