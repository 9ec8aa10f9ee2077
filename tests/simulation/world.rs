//! The world: the log, the database and the cache, which outlive every process, and the open calls.
//!
//! A call takes two turns: in the first it takes effect, in the second its caller gets the answer. The order
//! of turns decides how the calls of all processes interleave, what fails, and what a crash leaves undone.

use std::sync::{Arc, Mutex, MutexGuard};

use damper::error::{Error, Result};
use damper::model::{PostId, Time};
use tokio::sync::oneshot;

use crate::cache::Shelf;
use crate::chance::{Rng, Trace};
use crate::log::Log;
use crate::oracle::Oracle;
use crate::tables::Tables;
use crate::walk::Pages;

/// The number of logs in the world.
pub const SHARDS: u16 = 2;

/// Everything outside the processes.
pub struct World {
    pub logs: Vec<Log>,
    pub tables: Tables,
    pub shelf: Shelf,
    pub oracle: Oracle,
    pub trace: Trace,
    /// The correct time; processes' clocks differ from it.
    pub now: Time,
    /// The posts that were there from the beginning.
    pub catalogue: Vec<PostId>,
    pub turns: Vec<Turn>,
    /// The sizes of a decision's steps.
    pub pages: Pages,
    /// Calls take effect and answer at once.
    pub is_direct: bool,
}

/// A call that waits for its turn.
pub struct Turn {
    /// The number of the calling process.
    pub process: u32,
    pub call: Call,
    stage: Stage,
}

enum Stage {
    Effect(Effect),
    Answer(Answer),
}

/// Takes effect in the world, if one is given, and makes the answer. An error replaces the answer.
type Effect = Box<dyn FnOnce(Option<&mut World>, Option<Error>) -> Answer + Send>;
type Answer = Box<dyn FnOnce() + Send>;

/// A call: its name, its server, and its fate when its process dies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Call {
    pub name: &'static str,
    pub side: Side,
    pub kind: Kind,
}

/// A server that may be out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Buffer,
    Store,
    Cache,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Has no effect.
    Read,
    /// May take effect long after its process died, like a request in a server's queue.
    Write,
    /// Takes effect before its process' end is noticed, or never.
    Append,
}

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call has no effect, and the caller gets an error.
    Before,
    /// The call takes effect, but the caller gets an error.
    After,
    /// The call has no effect: the server is busy.
    Busy,
}

impl Fault {
    fn error(self, name: &str) -> Error {
        match self {
            Fault::Before | Fault::After => Error::Unavailable(format!("{name}: no answer")),
            Fault::Busy => Error::Busy(format!("{name}: not now")),
        }
    }
}

impl World {
    /// Whether a post was there from the beginning.
    pub fn is_known(&self, post: &PostId) -> bool {
        self.catalogue.contains(post)
    }

    /// Gives a turn: a call takes effect, or its caller gets the answer. Returns the process concerned.
    pub fn give(&mut self, index: usize, fault: Option<Fault>, answer_at_once: bool) -> u32 {
        let Turn { process, call, stage } = self.turns.swap_remove(index);
        let answer = match stage {
            Stage::Answer(answer) => {
                self.trace.note("answer", &[u64::from(process)], || format!("{} to {process}", call.name));
                answer
            }
            Stage::Effect(effect) => {
                let numbers = [u64::from(process), fault.map_or(0, |fault| 1 + fault as u64)];
                self.trace.note(call.name, &numbers, || format!("of {process} {fault:?}"));
                if fault.is_some() && call.side == Side::Buffer {
                    self.oracle.buffer_failed(process);
                }
                let has_effect = matches!(fault, None | Some(Fault::After));
                let error = fault.map(|fault| fault.error(call.name));
                let answer = effect(has_effect.then_some(self), error);
                if !answer_at_once {
                    self.turns.push(Turn { process, call, stage: Stage::Answer(answer) });
                    return process;
                }
                answer
            }
        };
        answer();
        process
    }

    /// Whether the call of this turn has not yet taken effect.
    pub fn is_before_effect(&self, index: usize) -> bool {
        matches!(self.turns[index].stage, Stage::Effect(_))
    }

    /// Cleans up after a dead process. Its answers are lost. Its appends took effect or never will. Its other
    /// writes may come much later.
    pub fn forget(&mut self, process: u32, rng: &mut Rng) {
        let mut index = 0;
        while index < self.turns.len() {
            let turn = &self.turns[index];
            if turn.process != process {
                index += 1;
            } else if !self.is_before_effect(index) || turn.call.kind == Kind::Read || rng.hits(5_000) {
                self.turns.swap_remove(index);
            } else if turn.call.kind == Kind::Append {
                self.give(index, None, true);
            } else {
                index += 1;
            }
        }
    }
}

/// A process' connection to the world.
#[derive(Clone)]
pub struct Seam {
    pub world: Arc<Mutex<World>>,
    pub process: u32,
}

/// Locks the world. A thread that panicked with the lock has already failed the test.
pub fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Seam {
    /// Makes a call. It takes effect and answers when its turns come.
    pub async fn call<T: Send + 'static>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let answered = self.enqueue(call, effect);
        answered.await.unwrap_or_else(|_| Err(Fault::Before.error(call.name)))
    }

    fn enqueue<T: Send + 'static>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (sender, answered) = oneshot::channel();
        let mut world = lock(&self.world);
        if world.is_direct {
            // The receiver still exists here.
            let _ = sender.send(effect(&mut world));
            return answered;
        }
        let effect: Effect = Box::new(move |world, error| {
            let value = world.map(effect);
            let answer = match (error, value) {
                (None, Some(value)) => value,
                (Some(error), _) => Err(error),
                (None, None) => Err(Fault::Before.error(call.name)),
            };
            Box::new(move || {
                // A caller that gave up gets nothing.
                let _ = sender.send(answer);
            })
        });
        world.turns.push(Turn { process: self.process, call, stage: Stage::Effect(effect) });
        answered
    }
}
