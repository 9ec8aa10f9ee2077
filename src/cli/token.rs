//! `damper token`: makes a token with the secret in the settings. `damper admin-token`: makes a new admin token.

use clap::Args;
use serde_json::json;

use super::{JsonArg, now, open};
use crate::config::Settings;
use crate::error::{Invalid, Result};
use crate::identity::{HOURS_MAX, Role, mint};
use crate::model::{HOUR_MS, UserId};

#[derive(Args)]
pub struct TokenArgs {
    /// The user's id
    #[arg(long, value_name = "USER")]
    user: String,
    /// What the user may do besides rating: ingest, moderator or admin; may be given several times
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    role: Vec<Role>,
    /// How long it is valid
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=i64::from(HOURS_MAX)))]
    hours: u32,
    #[command(flatten)]
    output: JsonArg,
}

fn parse_role(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| format!("roles are {}", Role::ALL.map(Role::as_str).join(", ")))
}

/// Prints only the token, so that a script can use it.
pub fn token(settings: &Settings, args: &TokenArgs) -> Result<u8> {
    let user =
        UserId::parse(&args.user).map_err(|e| Invalid::new(e.kind, format!("--user: {}", e.detail)))?;
    let now = now();
    let token = mint(&settings.config.auth, &user, &args.role, args.hours, now)?;
    let expires_at = now.plus_ms(i64::from(args.hours) * HOUR_MS);
    let minted = json!({"token": token, "user_id": user, "expires_at": expires_at});
    args.output.print(&minted, || format!("{token}\n"))
}

/// Prints only the new admin token.
pub async fn admin_token(settings: Settings, args: &JsonArg) -> Result<u8> {
    let app = open(settings).await?;
    let token = app.upkeep().new_admin_token().await?;
    app.close().await;
    args.print(&json!({"token": token}), || format!("{token}\n"))
}
