//! Settings: `config/default.toml` ← file ← `DAMPER_*` environment ← flags, and the source of each value.
//!
//! The default file is compiled in and is the reference: a name that is not in it is refused, in every source. Settings
//! are checked once, when they are read, so that no code behind them has to. A setting and its range are one line of
//! `knobs.rs`.

mod checks;
mod declare;
mod knobs;
mod networks;
mod secret;
mod settings;
pub mod ticks;

use std::time::Duration;

pub use knobs::*;
pub use networks::Networks;
pub use secret::{Secret, ServerUrl};
pub use settings::Settings;

/// The reference of the settings: each with its unit, its default and the reason. `damper config --default` prints it.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Which of the two ways to run these settings choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// One process, one SQLite file.
    Embedded,
    /// Redis and Postgres.
    Servers,
}

impl Config {
    /// The way to run that these settings choose.
    pub fn setup(&self) -> Setup {
        if self.database_url.is_empty() { Setup::Embedded } else { Setup::Servers }
    }

    /// How long a body may take: at most half of the time of a request that its appends leave.
    pub fn body_timeout(&self) -> Duration {
        self.half_of_the_rest().min(Duration::from_millis(self.api.body_timeout_ms))
    }

    /// How long the search for a post may take: the other half.
    pub fn find_timeout(&self) -> Duration {
        self.half_of_the_rest()
    }

    /// Half of the time of a request that its appends leave. They take three time-outs at most: the group under way, the
    /// group of the request, and what Redis is asked before.
    fn half_of_the_rest(&self) -> Duration {
        let appends_ms = 3 * self.buffer.append_timeout_ms;
        Duration::from_millis(self.api.request_timeout_ms.saturating_sub(appends_ms) / 2)
    }

    /// Whether there are keys, so that callers must show tokens.
    pub fn has_keys(&self) -> bool {
        let auth = &self.auth;
        !auth.jwt_secret.is_empty()
            || !auth.jwt_public_key_file.as_os_str().is_empty()
            || !auth.jwks_file.as_os_str().is_empty()
    }
}
