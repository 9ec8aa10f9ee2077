//! `damper-worker`: the worker alone, for set-ups that run several of each.

use std::process::ExitCode;

use damper::cli::Parts;

fn main() -> ExitCode {
    damper::cli::server(Parts::WORKER)
}
