//! The end of a run: faults stop, every request is answered, a fresh process drains once, and the world is judged.

use std::sync::{Arc, Mutex};

use crate::outcome::{Law, Violation};
use crate::plan::Knobs;
use crate::process::Process;
use crate::simulation::Simulation;
use crate::verdict;
use crate::world::{World, lock};

/// A request without an answer after this many steps without faults will never get one.
const STEPS_TO_SETTLE_MAX: usize = 100_000;
/// More entries than any log here has.
const BATCH_MAX: usize = 1_000_000;

impl Simulation {
    /// Faults stop. Every request must be answered, and one tick must merge everything.
    pub fn end(&mut self) -> Result<(), Violation> {
        self.knobs = Knobs::default();
        self.outage = None;
        let mut steps = 0;
        while self.is_anything_under_way() {
            steps += 1;
            if steps > STEPS_TO_SETTLE_MAX {
                return Err(Violation::of(Law::Ends, "a request is never answered"));
            }
            self.give();
            self.check()?;
        }
        for dead in std::mem::take(&mut self.processes) {
            self.bury(dead);
        }
        self.start();
        let drained = self.processes[0].tick_alone();
        self.check()?;
        if !drained.complete {
            return Err(Violation::of(Law::Ends, format!("the last drain is incomplete: {drained:?}")));
        }
        self.look()?;
        let params = self.config.params().expect("the parameters are right");
        let last_tick = self.processes[0].last_tick();
        verdict::judge(&mut self.world(), &params, last_tick)?;
        self.drain_in_one_piece()
    }

    /// Another world with the same log, drained in one piece, must come to the same tables.
    fn drain_in_one_piece(&mut self) -> Result<(), Violation> {
        let world = {
            let known = self.world();
            let mut world = World::new(&known.catalogue, false);
            world.now = known.now;
            for (log, lines) in world.logs.iter_mut().zip(&known.oracle.lines) {
                log.refill(lines);
            }
            world.oracle.lines = known.oracle.lines.clone();
            Arc::new(Mutex::new(world))
        };
        let mut config = self.config.clone();
        (config.drain.batch_max, config.moderation.hold_release_hours) = (BATCH_MAX, 0);
        let drained = Process::start(&world, 1, &config, usize::MAX, 0).tick_alone();
        if !drained.complete {
            return Err(Violation::of(Law::Ends, format!("one piece is incomplete: {drained:?}")));
        }
        verdict::same_tables(&self.world().tables, &lock(&world).tables)
    }

    fn is_anything_under_way(&self) -> bool {
        let world = self.world();
        let is_busy = self.processes.iter().any(Process::is_busy);
        !world.turns.is_empty() || is_busy || world.oracle.is_anybody_waiting()
    }
}
