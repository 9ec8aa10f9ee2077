//! Fault points, where the suite kills or stops a real process, and known mistakes that the suite must
//! detect.
//!
//! Compiled in only with the feature `faults`; without it every call here does nothing. Two environment
//! variables arm it; they are not settings. `FAULTS_AT="commit.swapped=kill@3,submit.held=stop@1"` kills
//! (SIGKILL) or stops (SIGSTOP) the process when it reaches a place for the third or the first time.
//! `FAULTS_MISTAKE=trim-before-commit` enables a mistake.

/// A mistake that real rating services have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The log is trimmed before the commit.
    TrimBeforeCommit,
    /// The checkpoint moves outside the commit's transaction.
    CheckpointOutside,
    /// An unreadable entry stops the drain.
    PoisonStops,
    /// The cache accepts every state, even an older one.
    BlindCache,
}

#[cfg(not(feature = "faults"))]
mod armed {
    use super::Mistake;

    /// Does nothing.
    #[inline(always)]
    pub fn reach(_: &str) {}

    /// Always false.
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
        /// Passes left before the fault fires.
        left: AtomicU32,
    }

    /// Counts a pass of `place`, and fires the fault when its pass is reached.
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

    /// Sends this process a signal. SIGKILL never returns.
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

    /// Sets the mistake that the process makes from now on, if any.
    pub fn make(mistake: Option<Mistake>) {
        MISTAKE.store(mistake.map_or(NONE, |mistake| mistake as u8), Ordering::Relaxed);
    }
}

pub use armed::*;
