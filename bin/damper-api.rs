//! `damper-api`: the API alone, for deployments with several API and worker processes.

use std::process::ExitCode;

use damper::cli::Parts;

fn main() -> ExitCode {
    damper::cli::run(Parts::Api)
}
