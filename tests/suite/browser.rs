//! What people see, in a real browser. `support::browser` drives it.

mod harness;
