//! The merge: folds a batch of the log into averages and rating rows, in log order. Pure.
//!
//! Each entry counts at its own time, so the cut of the log into batches changes nothing. The store loads the
//! state that the batch touches, this module folds, and the store writes the result. Both databases share it.
//! An entry that cannot be read or applied is quarantined with its reason; its neighbours are not affected.

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
