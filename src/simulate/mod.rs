//! What Damper would have done to a history: it is replayed through the very merge of a drain, under one or several
//! settings, beside other ways to publish a mean, and with invented attacks.
//!
//! `spool` groups a file by post, `replay` merges a post in memory, `method` has the ways that are compared, `events` finds
//! bursts and changes, `study` looks at a post, `budget` attacks it, `outcome` adds up and recommends, `report` draws. No
//! clock, and no part of the service.

mod bomb;
mod budget;
mod chart;
mod detail;
mod events;
mod method;
mod outcome;
mod replay;
mod report;
mod settings;
mod spool;
mod study;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::model::PostId;

pub use bomb::{Bomb, Shape};
pub use budget::{ACCOUNTS_MAX, AIMS, Budget};
pub use detail::Detail;
pub use method::RIVALS;
pub use outcome::{Figures, Outcome};
pub use report::{About, report};
pub use settings::{PRESETS, Setting, preset};
pub use spool::{History, Rating, Spool};
pub use study::{OFFSETS, Plan};

use detail::detail;
use study::{LARGE, Tally, replay, study};

/// Replays all posts, or one, on `threads` threads. `progress` is called with the number of ratings that are done.
///
/// # Errors
/// The disk does not give the ratings back, or no post is left to look at.
pub fn simulate(
    spool: &Spool,
    only: Option<&PostId>,
    plan: &Plan,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Outcome> {
    let parts: Vec<usize> = match only {
        Some(post) => vec![Spool::part_of(post)],
        None => (0..spool::PARTS).collect(),
    };
    let (next, all) = (AtomicUsize::new(0), Mutex::new((Tally::new(plan.settings.len()), Vec::new())));
    let failure = Mutex::new(None);
    let work = || -> Result<()> {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let of = |history: &&History| only.is_none_or(|only| history.post == *only);
            for history in spool.read(*part)?.iter().filter(of) {
                let (tally, studied) = study(history, plan)?;
                // A large post is drawn while it is at hand; another is replayed again.
                let picture = (history.ratings.len() >= LARGE).then(|| detail(history, &studied, &tally));
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                let (sum, pictures) = &mut *all;
                sum.add(tally);
                pictures.extend(picture);
                pictures.retain(|picture| Some(&picture.post) == sum.shown_post());
                progress(history.ratings.len() as u64);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                if let Err(error) = work() {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let (tally, mut pictures) = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    if tally.posts == 0 {
        let what =
            only.map_or("no post is in the file".to_owned(), |post| format!("no post {post} is in the file"));
        return Err(Error::NotFound(what));
    }
    if !plan.bombs.is_empty() && !tally.events.iter().any(|event| event.is_attack) {
        let detail = "every attack begins before the first rating: choose a later moment";
        return Err(Error::NotFound(detail.to_owned()));
    }
    let budgets = outcome::budgets(&tally, &plan.settings, threads);
    let picture = match (pictures.pop(), tally.shown_post()) {
        (Some(picture), _) => Some(picture),
        (None, Some(post)) => {
            let histories = spool.read(Spool::part_of(post))?;
            let history = histories.iter().find(|history| history.post == *post);
            let draw = |history| Ok::<_, Error>(detail(history, &replay(history, plan)?, &tally));
            history.map(draw).transpose()?
        }
        (None, None) => None,
    };
    Ok(Outcome::of(tally, plan, budgets, picture))
}
