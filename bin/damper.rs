//! `damper`: the service and its command line in one program.

use std::process::ExitCode;

fn main() -> ExitCode {
    damper::cli::damper()
}
