//! `damper config`: the settings in force and the source of each.

use clap::Args;
use serde_json::json;

use super::{DONE, JsonArg, term};
use crate::config::{DEFAULT_TOML, Settings};
use crate::error::Result;

#[derive(Args)]
pub struct ConfigArgs {
    /// Print the default file instead: every setting, its unit and the reason for its value
    #[arg(long)]
    default: bool,
    #[command(flatten)]
    output: JsonArg,
}

/// Shows the settings, but never a password.
pub fn config(settings: &Settings, args: &ConfigArgs) -> Result<u8> {
    if args.default {
        term::print(DEFAULT_TOML);
        return Ok(DONE);
    }
    let rows = settings.effective();
    let shown: Vec<_> = rows
        .iter()
        .map(|(name, value, source)| json!({"name": name, "value": value, "source": source}))
        .collect();
    args.output.print(&shown, || {
        let rows = rows.iter().cloned().map(<[String; 3]>::from);
        term::table(["setting", "value", "from"], term::CellAlignment::Left, rows)
    })
}
