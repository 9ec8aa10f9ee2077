//! Fault points, where the suite kills or stops a real process, and known mistakes that the suite must detect.
//!
//! Compiled in only with the feature `faults`; without it every call here does nothing. Two environment variables arm
//! it; they are not settings. `FAULTS_AT="commit.swapped=kill@3,submit.held=stop@1"` kills (SIGKILL) or stops (SIGSTOP)
//! the process when it reaches a place for the third or the first time. `panic` panics there, and `slow` makes that task
//! slow, and no other. `FAULTS_MISTAKE=trim-before-commit` enables a mistake.

/// A mistake that real rating services have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mistake {
    /// The log is trimmed before the commit.
    TrimBeforeCommit,
    /// The checkpoint moves outside the commit's transaction.
    CheckpointOutside,
    /// The drain moves the checkpoint in a commit of its own, before the one with the data.
    CheckpointApart,
    /// A released rating counts beside its user's other one.
    ReleaseBeside,
    /// Undoing an exclusion also restores what another one covers.
    UndoBlind,
    /// A decision that goes on after a step forgets what it has come to.
    StepsForgotten,
    /// A state that is taken over twice counts twice.
    AdoptTwice,
    /// An unreadable entry stops the drain.
    PoisonStops,
    /// The cache accepts every state, even an older one.
    BlindCache,
    /// A rating is acknowledged before it is in the log.
    AcknowledgeEarly,
    /// An append that failed is sent again, long after its caller was told so.
    ReplayLate,
    /// A drain that met a server that was away never drains again.
    DrainGivesUp,
    /// An approval counts a held rating twice.
    ReleaseTwice,
    /// An undone exclusion restores one rating and leaves the others out.
    ExclusionHalfUndone,
}

#[cfg(not(feature = "faults"))]
mod armed {
    /// Does nothing.
    #[inline(always)]
    pub fn reach(_: &str) {}

    /// Always false.
    #[inline(always)]
    pub fn has(_: super::Mistake) -> bool {
        false
    }
}

#[cfg(feature = "faults")]
mod armed {
    use std::process::Command;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
    use std::time::Duration;

    use super::Mistake;

    /// What happens at a place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Fault {
        /// The process is killed (SIGKILL).
        Kill,
        /// The process is stopped (SIGSTOP).
        Stop,
        /// The task panics.
        Panic,
        /// The task needs [`SLOW_TIME`].
        Slow,
    }

    const SLOW_TIME: Duration = Duration::from_secs(3);

    /// Places, what happens there, and the passes left before it does.
    static FAULTS: LazyLock<Vec<(String, Fault, AtomicU32)>> = LazyLock::new(|| {
        let armed = std::env::var("FAULTS_AT").unwrap_or_default();
        let parts = armed.split(',').filter(|part| !part.is_empty());
        let read = |part| {
            let fault = parse(part);
            assert!(fault.is_some(), "FAULTS_AT: {part} is not PLACE=FAULT@PASS");
            fault
        };
        parts.filter_map(read).collect()
    });

    fn parse(text: &str) -> Option<(String, Fault, AtomicU32)> {
        let (place, rest) = text.split_once('=')?;
        let (fault, pass) = rest.split_once('@')?;
        let fault = serde_json::from_value(fault.into()).ok()?;
        Some((place.into(), fault, pass.parse::<u32>().ok()?.into()))
    }

    /// Counts a pass of `place`, and does what is armed there when its pass is reached.
    pub fn reach(place: &str) {
        for (_, fault, left) in FAULTS.iter().filter(|(armed, ..)| armed == place) {
            if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                fault.happen(place);
            }
        }
    }

    impl Fault {
        fn happen(self, place: &str) {
            assert!(self != Self::Panic, "the place {place} is armed");
            match self {
                // The kill may take a moment, and nothing may happen meanwhile.
                Self::Kill => {
                    signal("-KILL");
                    std::thread::sleep(Duration::MAX);
                }
                Self::Stop => signal("-STOP"),
                // Asserted above.
                Self::Panic => {}
                Self::Slow => {
                    tracing::warn!("slow at {place}");
                    tokio::task::block_in_place(|| std::thread::sleep(SLOW_TIME));
                }
            }
        }
    }

    fn signal(name: &str) {
        let _ = Command::new("kill").args([name, &std::process::id().to_string()]).status();
    }

    static MISTAKE: LazyLock<AtomicU8> = LazyLock::new(|| {
        let named = std::env::var("FAULTS_MISTAKE").unwrap_or_default();
        let mistake = serde_json::from_value(named.as_str().into()).ok();
        assert!(named.is_empty() || mistake.is_some(), "FAULTS_MISTAKE: {named} is no mistake");
        AtomicU8::new(number(mistake))
    });

    fn number(mistake: Option<Mistake>) -> u8 {
        mistake.map_or(u8::MAX, |mistake| mistake as u8)
    }

    /// Whether the process makes this mistake.
    pub fn has(mistake: Mistake) -> bool {
        MISTAKE.load(Ordering::Relaxed) == number(Some(mistake))
    }

    /// Sets the mistake that the process makes from now on, if any.
    pub fn make(mistake: Option<Mistake>) {
        MISTAKE.store(number(mistake), Ordering::Relaxed);
    }
}

pub use armed::*;
