//! What a process knows about each shard's log in Redis: its floor, its clock, and which connection knows the floor.
//!
//! In a cluster each shard may live on another server, with a clock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::entry::{Position, Shard};
use crate::model::Time;

/// The logs of all shards.
pub(super) struct States {
    shards: Vec<Mutex<State>>,
}

struct State {
    /// The highest position that is known.
    floor: Position,
    /// The number of the connection over which the stream got its floor; 0 when it must get it again.
    connection: u64,
    /// The server's time, and when it was learned.
    time: Time,
    learned: Instant,
}

impl States {
    /// Logs of which nothing is known but the server's time.
    pub fn new(shard_count: u16, time: Time) -> Self {
        let learned = Instant::now();
        let state = |_| Mutex::new(State { floor: Position::START, connection: 0, time, learned });
        Self { shards: (0..shard_count).map(state).collect() }
    }

    fn of(&self, shard: Shard) -> MutexGuard<'_, State> {
        self.shards[shard.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's time now, as its last reply tells it: never ahead of the server, unless its clock is set back.
    pub fn time(&self, shard: Shard) -> Time {
        let state = self.of(shard);
        state.time.plus_ms(state.learned.elapsed().as_millis() as i64)
    }

    pub fn learn_time(&self, shard: Shard, time: Time) {
        let mut state = self.of(shard);
        (state.time, state.learned) = (time, Instant::now());
    }

    /// The highest position that is known.
    pub fn floor(&self, shard: Shard) -> Position {
        self.of(shard).floor
    }

    /// Remembers a position that exists.
    pub fn learn_position(&self, shard: Shard, position: Position) {
        let mut state = self.of(shard);
        state.floor = state.floor.max(position);
    }

    /// Whether the stream got its floor over this connection.
    pub fn has_floor(&self, shard: Shard, connection: u64) -> bool {
        self.of(shard).connection == connection
    }

    /// Notes that the stream has its floor, over this connection.
    pub fn floor_set(&self, shard: Shard, connection: u64) {
        self.of(shard).connection = connection;
    }

    /// Notes that the stream is gone: it needs its floor again.
    pub fn gone(&self, shard: Shard) {
        self.of(shard).connection = 0;
    }
}
