//! The contract of the smoothing: its golden vectors and its eleven laws (docs/SMOOTHING.md).

mod attacks;
mod golden;
mod laws;
mod log;
#[path = "../shared/naive.rs"]
mod naive;
mod reference;
