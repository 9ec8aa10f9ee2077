//! The contract of the smoothing: its golden vectors and its nine laws (docs/SMOOTHING.md).

mod golden;
mod laws;
mod log;
