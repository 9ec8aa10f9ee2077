//! An export of one post, as `damper export` writes it and `damper import` takes it back: a piece of state a line, in
//! the order of the log.

use damper::entry::{Action, Entry, Position};
use damper::merge::{Adopted, Excluded, pieces_of};
use damper::model::{PostId, Time, UserId};

use crate::tables::Tables;

/// Stands where a piece belongs to no user.
const NO_USER: &str = "export";

impl Tables {
    /// What is kept of a post, as entries that take it over for another one; nothing while a decision on it is under
    /// way. The post itself knows its decisions already.
    pub fn export(&self, post: &PostId, target: &PostId, now: Time) -> Vec<Entry> {
        let is_deciding = self.under_way.values().any(|it| it.post().as_ref() == Some(post));
        let Some((average, _)) = self.averages.get(post).copied().filter(|_| !is_deciding) else {
            return Vec::new();
        };
        let nobody = UserId::parse(NO_USER).expect("a user id");
        let standing = self.standing(post);
        let mut entries = Vec::new();
        let mut add = |user: &UserId, at: Time, piece: Adopted| {
            let json = serde_json::to_string(&piece).expect("a piece can be written");
            entries.push(Entry::new(target.clone(), user.clone(), at, Action::Adopt(json.into())));
        };
        let opening = Adopted::Opening { average, is_frozen: standing.is_frozen, hold: standing.hold };
        add(&nobody, now, opening);
        for ((_, hour), (arrivals, average)) in self.history.iter().filter(|((id, _), _)| id == post) {
            let (hour, arrivals, average) = (Time::from_ms(*hour), *arrivals, *average);
            add(&nobody, now, Adopted::Hour { hour, arrivals, average });
        }
        let Some(born) = average.born else { return entries };
        let mut pieces = self.pieces(post, target, born);
        pieces.sort_by(|(place, user, ..), (other, other_user, ..)| (place, user).cmp(&(other, other_user)));
        for (_, user, at, piece) in pieces {
            add(&user, at.unwrap_or(now), piece);
        }
        add(&nobody, now, Adopted::Closing { average });
        entries
    }

    /// The pieces of users and decisions, each with its place, its user and its time.
    fn pieces(
        &self,
        post: &PostId,
        target: &PostId,
        born: Time,
    ) -> Vec<(Position, UserId, Option<Time>, Adopted)> {
        let mut pieces = Vec::new();
        let keys = self.ratings.keys().chain(self.held.keys()).chain(self.withdrawals.keys());
        let keys: std::collections::BTreeSet<_> = keys.filter(|key| key.0 == *post).collect();
        for key in keys {
            let kept = self.kept(key);
            for piece in pieces_of(born, &kept) {
                let (place, at) = match &piece {
                    Adopted::Rating { rated, .. } => {
                        (kept.rating.map(|it| it.position), Some(rated.rated_at))
                    }
                    Adopted::Held { held, .. } => (kept.held.map(|it| it.position), Some(held.rated_at)),
                    _ => (kept.withdrawal.map(|it| it.position), None),
                };
                pieces.push((place.unwrap_or_default(), key.1.clone(), at, piece));
            }
        }
        for decided in self.audit.values().filter(|it| it.post == *post && post != target) {
            let exclusion = self.exclusions.get(&(post.clone(), decided.position));
            let exclusion = exclusion.map(|it| Excluded { excluded: it.excluded, is_undone: it.is_undone });
            let (decision, outcome) = (decided.decision.clone(), decided.outcome.clone());
            let piece = Adopted::Decision { decision, outcome, exclusion };
            pieces.push((decided.position, decided.by.clone(), Some(decided.at), piece));
        }
        pieces
    }
}
