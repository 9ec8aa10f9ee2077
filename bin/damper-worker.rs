//! `damper-worker`: the worker alone, for deployments with several API and worker processes.

use std::process::ExitCode;

use damper::cli::Parts;

fn main() -> ExitCode {
    damper::cli::server(std::env::args_os(), Parts::WORKER)
}
