//! Posts, users, scores and times, as types that cannot hold a wrong value.
//!
//! Text and numbers from outside are parsed here once, at the edge; everything further in trusts them.
//! What an entry of the log looks like is in [`entry`](crate::entry).

mod ids;
pub mod json;
pub mod page;
pub mod post;
mod score;
pub mod text;
mod time;
mod user;
pub mod words;

pub use ids::{ID_CHARS_MAX, PostId, UserId};
pub use page::Page;
pub use post::Post;
pub use score::Score;
pub use time::{DAY_MS, HOUR_MS, MINUTE_MS, TIME_AHEAD_MAX_MS, TIME_MIN, Time};
pub use user::{User, Username};
