//! Arrivals: a post's ratings by their own times, with what is known of their users. Evidence for moderators.

use super::prelude::*;

/// Ratings of one step, by their own times: each user's latest, whether it counts, is held or excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// The step's number since 1970.
    pub step: i64,
    /// How many have the score 0, 1, .. 5.
    pub by_score: [u64; Score::COUNT],
    /// Of users who have no older rating, of any post.
    pub first_ratings: u64,
    /// Of users who have given a name here.
    pub known_accounts: u64,
    /// Of these, of users who had given it less than a week before.
    pub young_accounts: u64,
}

impl Arrivals {
    /// How many there are.
    pub fn ratings(&self) -> u64 {
        self.by_score.iter().sum()
    }
}

impl Store {
    /// A post's ratings whose own time lies between two moments, counted by steps of `step_ms`. It reads all ratings of
    /// the post.
    pub async fn arrivals(
        &self,
        post: &PostId,
        (from, to): (Time, Time),
        step_ms: i64,
    ) -> Result<Vec<Arrivals>> {
        let sql = "
            select rated_at / $4 as step, score, count(*) as ratings, sum(is_first) as first_ones,
                sum(is_known) as known, sum(is_young) as young
            from (
                select x.rated_at, x.score,
                    case when exists (
                        select 1 from ratings o where o.user_id = x.user_id and o.rated_at < x.rated_at
                    ) or exists (
                        select 1 from held o where o.user_id = x.user_id and o.rated_at < x.rated_at
                    ) then 0 else 1 end as is_first,
                    case when u.created_at is null then 0 else 1 end as is_known,
                    case when u.created_at > x.rated_at - 604800000 then 1 else 0 end as is_young
                from (
                    select r.user_id, r.rated_at, r.score from ratings r
                    where r.post_id = $1 and r.rated_at >= $2 and r.rated_at < $3
                        and not exists (select 1 from held h where h.post_id = $1 and h.user_id = r.user_id)
                    union all
                    select user_id, rated_at, score from held
                    where post_id = $1 and rated_at >= $2 and rated_at < $3
                ) x left join users u on u.id = x.user_id
            ) seen group by 1, 2 order by 1, 2";
        let mut steps: Vec<Arrivals> = Vec::new();
        for row in self.database.ask(Patience::Heavy, sql, values![post, from, to, step_ms]).await? {
            let step = row.int("step")?;
            if steps.last().is_none_or(|last| last.step != step) {
                steps.push(Arrivals { step, ..Arrivals::default() });
            }
            if let Some(last) = steps.last_mut() {
                last.by_score[row.score("score")?.index()] += row.count("ratings")?;
                last.first_ratings += row.count("first_ones")?;
                last.known_accounts += row.count("known")?;
                last.young_accounts += row.count("young")?;
            }
        }
        Ok(steps)
    }
}
