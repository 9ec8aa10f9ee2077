//! Smoothing: paced vesting in two lanes, the arithmetic behind the published mean.
//!
//! A rating enters a post's exact count and sum at once, but its weight *vests* into the published mean: half
//! of it has arrived after `vest_half_life_hours`. A crowd vests more slowly. A post's settled weight may at
//! most double while the post's age doubles and, once the post is grown (about forty days by default), at
//! most double every `max_doubling_days`. So a burst of any size moves an established post by a few percent a
//! day, ordinary ratings arrive within a day or two, and the published mean always ends at the raw mean.
//!
//! A young post has no mass that could hold a burst back, and a burst would hold ordinary ratings back as
//! well. So there are two *lanes*. A rating that comes in a *surge*, far more within an hour than the post's
//! own history would suggest, takes the surge lane, where only the slow pace of a grown post applies, whatever
//! the post's age. All others take the calm lane and do not wait behind a bomb. The pace depends on counts
//! and times, and in edits on how far they go, never on whether scores are high or low: praise and blame are treated alike.
//!
//! Values in, values out: no clock, no I/O, no logging, and one order of evaluation, so a log gives the same
//! state bit for bit however it was cut into batches (same build, same platform). Formulas and laws are those
//! of docs/SMOOTHING.md; `tests/smoothing/` holds the code to its golden vectors, its eleven laws and a naive
//! reference. `user` has what an entry does; the caller stores what is kept of each user.

mod adopt;
mod alert;
mod average;
mod lane;
mod params;
mod published;
mod recount;
mod row;
mod user;

pub use alert::AlertLevel;
pub use average::Average;
pub use lane::Lane;
pub use params::{AlertThresholds, Knobs, Params};
pub use published::Published;
pub use recount::{Difference, Recount};
pub use row::{LaneName, Row};
pub use user::{Arrival, Effect, Held, Mark, Rated, UserState, When};
