//! Places where the suite kills or stops a real process, and the known mistakes that the suite must catch.
//!
//! Compiled in with the feature `faults` only; without it every call here is nothing. Armed by two variables of
//! the environment, which are no settings: `FAULTS_AT="commit.swapped=kill@3,submit.held=stop@1"` kills (SIGKILL)
//! or stops (SIGSTOP) the process when it reaches a place for the third time or the first;
//! `FAULTS_MISTAKE=trim-before-commit` brings a mistake back.

/// A mistake that rating services were seen to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The log is trimmed before the commit.
    TrimBeforeCommit,
    /// The checkpoint moves outside the commit's transaction.
    CheckpointOutside,
    /// An entry that cannot be read stops the drain.
    PoisonStops,
    /// The cache takes whatever comes last.
    BlindCache,
}

#[cfg(not(feature = "faults"))]
mod armed {
    use super::Mistake;

    /// Nothing.
    #[inline(always)]
    pub fn reach(_: &str) {}

    /// No.
    #[inline(always)]
    pub fn has(_: Mistake) -> bool {
        false
    }
}

#[cfg(feature = "faults")]
mod armed {
    use std::process::Command;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    use super::Mistake;

    struct Fault {
        place: String,
        signal: &'static str,
        /// Passes until it strikes.
        left: AtomicU32,
    }

    /// Counts a pass of `place`, and strikes when it is the one.
    pub fn reach(place: &str) {
        static FAULTS: OnceLock<Vec<Fault>> = OnceLock::new();
        let faults = FAULTS.get_or_init(|| {
            let armed = std::env::var("FAULTS_AT").unwrap_or_default();
            armed.split(',').filter_map(parse).collect()
        });
        for fault in faults.iter().filter(|fault| fault.place == place) {
            if fault.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                strike(fault.signal);
            }
        }
    }

    fn parse(text: &str) -> Option<Fault> {
        let (place, rest) = text.split_once('=')?;
        let (signal, pass) = rest.split_once('@')?;
        let signal = if signal == "stop" { "-STOP" } else { "-KILL" };
        Some(Fault { place: place.into(), signal, left: pass.parse::<u32>().ok()?.into() })
    }

    /// Sends this process a signal. A killed one never comes back from here.
    fn strike(signal: &str) {
        let _ = Command::new("kill").args([signal, &std::process::id().to_string()]).status();
        if signal == "-KILL" {
            loop {
                std::thread::park();
            }
        }
    }

    static MISTAKE: AtomicU8 = AtomicU8::new(UNKNOWN);
    const UNKNOWN: u8 = u8::MAX;
    const NONE: u8 = u8::MAX - 1;

    /// Whether the process makes this mistake.
    pub fn has(mistake: Mistake) -> bool {
        if MISTAKE.load(Ordering::Relaxed) == UNKNOWN {
            let named = match std::env::var("FAULTS_MISTAKE").unwrap_or_default().as_str() {
                "trim-before-commit" => Some(Mistake::TrimBeforeCommit),
                "checkpoint-outside" => Some(Mistake::CheckpointOutside),
                "poison-stops" => Some(Mistake::PoisonStops),
                "blind-cache" => Some(Mistake::BlindCache),
                _ => None,
            };
            make(named);
        }
        MISTAKE.load(Ordering::Relaxed) == mistake as u8
    }

    /// From now on the process makes this mistake, or none.
    pub fn make(mistake: Option<Mistake>) {
        MISTAKE.store(mistake.map_or(NONE, |mistake| mistake as u8), Ordering::Relaxed);
    }
}

pub use armed::*;
