//! The merge: folds a batch of the log into averages and rating rows, in log order. Pure.
//!
//! Each entry counts at its own time, so how the log was cut into batches changes nothing. The store loads what
//! the batch touches, this folds, the store writes what comes out; both databases share it.
//! An entry that cannot be read or applied is put aside with its reason, and its neighbours are not affected.

pub mod bulk;
mod decided;
mod fold;
mod state;

pub use decided::{Decided, Exclusion, Outcome};
pub use fold::merge;
pub use state::{
    HeldRating, Hour, Key, Loaded, LoadedPost, Merged, MergedAverage, PostState, Quarantined, Rating,
    Standing, hour_of, retried, touched,
};
