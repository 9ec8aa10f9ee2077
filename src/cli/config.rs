//! `damper config`: the settings in force and the source of each.

use std::process::ExitCode;

use clap::Args;
use comfy_table::CellAlignment;
use serde_json::json;

use super::{JsonArg, print_json, term};
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
pub fn config(settings: &Settings, args: &ConfigArgs) -> Result<ExitCode> {
    let rows = settings.effective();
    if args.default {
        term::print(DEFAULT_TOML);
    } else if args.output.json {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(name, value, source)| json!({"name": name, "value": value, "source": source}))
            .collect();
        print_json(&rows)?;
    } else {
        let mut table = term::table(&["setting", "value", "from"]);
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Left);
        }
        for (name, value, source) in rows {
            table.add_row([name, value, source]);
        }
        term::print(&term::render(&table));
    }
    Ok(ExitCode::SUCCESS)
}
