//! Taking ratings in: which posts take none, and whose ratings are held.

pub mod eligibility;
pub mod frozen;
