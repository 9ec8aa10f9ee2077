//! The merge: folds a batch of the log into averages and rating rows, in log order. Pure: the store loads what the batch
//! touches and writes the result. Each entry counts at its own time, so the cut of the log into batches changes nothing.
//! An entry that cannot be read or applied is quarantined with its reason; its neighbours are not affected.

mod adopt;
pub mod bulk;
mod fold;
mod state;

pub use adopt::{Adopted, Excluded, pieces_of};
pub use fold::merge;
pub use state::{
    Decided, Exclusion, HeldRating, Hour, Kept, Key, Loaded, LoadedPost, Merged, MergedAverage, Outcome,
    PostState, Quarantined, Rating, Standing, Withdrawal, keys_of,
};
