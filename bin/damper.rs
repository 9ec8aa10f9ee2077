//! `damper`: the service and its command line in one program.

use std::process::ExitCode;

use damper::cli::Parts;

fn main() -> ExitCode {
    damper::cli::run(Parts::Both)
}
