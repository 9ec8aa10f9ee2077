//! `damper forget`: shows or erases a user's data.

use std::io::IsTerminal;

use clap::Args;

use super::{FAILED, JsonArg, log, now, open, print_json, term};
use crate::app::upkeep::forget::UserData;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::model::UserId;

#[derive(Args)]
pub struct ForgetArgs {
    /// The user's id
    #[arg(value_name = "USER")]
    user: String,
    /// Only print the data, as JSON, and keep it
    #[arg(long)]
    export: bool,
    /// Do not ask before erasing
    #[arg(long, conflicts_with = "export")]
    yes: bool,
    #[command(flatten)]
    output: JsonArg,
}

/// Erases a user's data, or only shows it. Asks first when a person is at the terminal.
pub async fn forget(settings: Settings, args: &ForgetArgs) -> Result<u8> {
    let user = UserId::parse(&args.user)?;
    let app = open(settings).await?;
    if args.export {
        let held = app.upkeep().user_data(&user, now()).await?;
        app.close().await;
        return print_json(&held);
    }
    if !args.yes && std::io::stdin().is_terminal() {
        let held = app.upkeep().user_data(&user, now()).await?;
        log::say(&format!("erase {} for good? [y/N]", summary(&held)));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|e| Error::Internal(e.to_string()))?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            app.close().await;
            log::say("damper: nothing was erased");
            return Ok(FAILED);
        }
    }
    let erased = app.upkeep().forget(&user, now()).await?;
    app.close().await;
    args.output.print(&erased, || format!("erased {}\n", summary(&erased)))
}

fn summary(held: &UserData) -> String {
    format!(
        "{}, the name on {} and {} of {}",
        term::counted((held.ratings.len() + held.held.len()) as u64, "rating", "ratings"),
        term::counted(held.posts.len() as u64, "post", "posts"),
        term::counted(held.quarantined.len() as u64, "quarantined entry", "quarantined entries"),
        held.user_id
    )
}
