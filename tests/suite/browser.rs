//! What people see, in a real browser. `support::browser` drives it, `support::axe` checks that everybody can use it.

mod dashboard;
mod harness;
mod public;
mod widget;
