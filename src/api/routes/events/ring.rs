//! The newest changes in memory, bounded in bytes: one reading of the store for all followers. A follower has a place in
//! the ring and nothing else, so a slow one costs its connection. One that the ring has passed gets a `reset`.

use std::collections::VecDeque;

use axum::response::sse::Event;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::reading::changes::{Changed, Changes, Watermark};
use crate::entry::{Position, Shard};
use crate::model::{PostId, Time};
use crate::smoothing::{Params, Published};

/// What the ring takes of memory at most; the oldest rounds go first.
const BYTES_MAX: usize = 8 << 20;

/// A changed average.
#[derive(Serialize, ToSchema)]
pub struct ChangedAverage {
    /// Whose it is
    id: PostId,
    #[serde(flatten)]
    published: Published,
    as_of: Time,
}

/// The newest changes.
#[derive(Default)]
pub struct Ring {
    /// Where the oldest round begins; nothing before the first reading.
    begin: Option<Watermark>,
    rounds: VecDeque<Round>,
    /// How many rounds have left the ring.
    passed: u64,
    bytes: usize,
}

/// What one reading has found.
pub struct Round {
    from: Watermark,
    to: Watermark,
    /// `None` when there was more than can be sent.
    changes: Option<Vec<Change>>,
}

struct Change {
    place: (Shard, Position),
    /// The event's data.
    json: Box<str>,
}

/// A follower's place in the ring.
pub enum Place {
    /// Before the first event; it knows everything up to this watermark, if it says one.
    Entering(Option<Watermark>),
    /// The ring has passed it, or never was where it comes from.
    Lost,
    /// It has been sent so many changes of that round. Of older rounds it may know some, by its watermark.
    At { round: u64, sent: usize, known: Option<Watermark> },
}

impl Round {
    pub fn new(Changes { from, to, averages }: Changes, params: &Params) -> Self {
        let change = |Changed { post: id, place, average, as_of }| {
            let json = ChangedAverage { id, published: Published::of(&average, params), as_of };
            Change { place, json: serde_json::to_string(&json).unwrap_or_default().into() }
        };
        Self { from, to, changes: averages.map(|averages| averages.into_iter().map(change).collect()) }
    }

    fn bytes(&self) -> usize {
        let changes = self.changes.iter().flatten();
        let changes: usize = changes.map(|change| size_of::<Change>() + change.json.len()).sum();
        size_of::<Self>() + 2 * self.to.bytes() + changes
    }
}

impl Ring {
    /// Up to where it has everything; nothing before the first reading.
    pub fn end(&self) -> Option<&Watermark> {
        self.rounds.back().map(|round| &round.to).or(self.begin.as_ref())
    }

    /// Takes a round in.
    pub fn add(&mut self, round: Round) {
        if round.changes.is_none() {
            // A follower that is not beyond this round has to read again.
            self.clear();
            self.begin = Some(round.to);
            return;
        }
        self.begin.get_or_insert_with(|| round.from.clone());
        self.bytes += round.bytes();
        self.rounds.push_back(round);
        while self.bytes > BYTES_MAX
            && let Some(oldest) = self.rounds.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.passed += 1;
            self.begin = Some(oldest.to);
        }
    }

    /// Forgets everything; a follower that is there has to read again.
    pub fn clear(&mut self) {
        *self = Self { passed: self.passed + self.rounds.len() as u64 + 1, ..Self::default() };
    }

    /// The next event of a follower, whose place moves on; nothing when there is none yet. Only the last event of a round
    /// has its id: a follower that is cut off before it receives the rest of the round again.
    pub fn next(&self, place: &mut Place) -> Option<Event> {
        let (begin, end) = (self.begin.as_ref()?, self.end()?);
        if let Place::At { round, .. } = place
            && *round < self.passed
        {
            *place = Place::Lost;
        }
        let newest = Place::At { round: self.passed + self.rounds.len() as u64, sent: 0, known: None };
        match place {
            Place::Entering(known) => {
                let ready = Event::default().event("ready").data("{}");
                let (entered, event) = match known.take() {
                    None => (newest, ready.id(end.to_string())),
                    // It keeps its own id until it has received what it missed.
                    Some(known) if known.is_between(begin, end) => {
                        (Place::At { round: self.passed, sent: 0, known: Some(known) }, ready)
                    }
                    Some(_) => (Place::Lost, ready),
                };
                *place = entered;
                Some(event)
            }
            Place::Lost => {
                *place = newest;
                Some(Event::default().event("reset").data("{}").id(end.to_string()))
            }
            Place::At { round: number, sent, known } => {
                while let Some(round) = self.rounds.get((*number - self.passed) as usize) {
                    let is_new = |change: &Change| known.as_ref().is_none_or(|it| !it.knows(change.place));
                    let changes = round.changes.iter().flatten().enumerate().skip(*sent);
                    let mut new = changes.filter(|(_, change)| is_new(change));
                    if let Some((i, change)) = new.next() {
                        *sent = i + 1;
                        let event = Event::default().event("average").data(&*change.json);
                        let is_last = new.next().is_none();
                        return Some(if is_last { event.id(round.to.to_string()) } else { event });
                    }
                    (*number, *sent) = (*number + 1, 0);
                }
                // What comes from here on is new to everyone.
                *known = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of one shard, from a position to another, with these positions changed by posts with long ids.
    fn round(from: u64, to: u64, changed: &[u64], json_bytes: usize) -> Round {
        let watermark = |low: u64| Watermark::parse(&Position::new(0, low).to_string()).unwrap();
        let change = |low: &u64| Change {
            place: (Shard(0), Position::new(0, *low)),
            json: ("0".repeat(json_bytes - 1) + &low.to_string()).into(),
        };
        let changes = Some(changed.iter().map(change).collect());
        Round { from: watermark(from), to: watermark(to), changes }
    }

    fn enter(low: u64) -> Place {
        Place::Entering(Watermark::parse(&format!("0-{low}")).ok())
    }

    /// The events that a follower gets, each as its text in one line.
    fn events(ring: &Ring, place: &mut Place) -> Vec<String> {
        let next = || ring.next(place).map(|event| format!("{event:?}"));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_follower_gets_what_it_does_not_know_once() {
        let mut ring = Ring::default();
        let mut early = Place::Entering(None);
        assert!(events(&ring, &mut early).is_empty(), "nothing is known before the first reading");
        ring.add(round(3, 6, &[4, 5, 6], 1));
        assert_eq!(events(&ring, &mut early).len(), 1, "ready");
        ring.add(round(6, 8, &[7, 8], 1));
        let got = events(&ring, &mut early);
        assert!(got.len() == 2 && !got[0].contains("id: ") && got[1].contains("id: 0-8"), "{got:?}");
        // One that knows a part of a round gets the rest of it, with its id.
        let got = events(&ring, &mut enter(5));
        assert!(got.len() == 4 && got[1].contains("data: 6") && got[1].contains("id: 0-6"), "{got:?}");
        assert_eq!(events(&ring, &mut enter(8)).len(), 1);
        for strange in [2, 9] {
            let got = events(&ring, &mut enter(strange));
            assert!(got.len() == 2 && got[1].contains("reset") && got[1].contains("id: 0-8"), "{got:?}");
        }
    }

    #[test]
    fn what_the_ring_has_passed_is_a_reset_and_the_ring_has_a_bound() {
        let mut ring = Ring::default();
        ring.add(round(0, 1, &[1], 1));
        let mut slow = enter(0);
        assert!(ring.next(&mut slow).is_some());
        for i in 1..100 {
            ring.add(round(i, i + 1, &[i + 1], BYTES_MAX / 10));
            assert!(
                ring.bytes <= BYTES_MAX && ring.rounds.iter().map(Round::bytes).sum::<usize>() == ring.bytes
            );
        }
        let got = events(&ring, &mut slow);
        assert!(got.len() == 1 && got[0].contains("reset"), "it goes on from the end: {}", got.len());
        // More than can be sent: no follower gets a part of it.
        ring.add(Round { changes: None, ..round(100, 101, &[], 1) });
        let got = events(&ring, &mut slow);
        assert!(got.len() == 1 && got[0].contains("reset") && got[0].contains("id: 0-101"), "{got:?}");
        ring.add(round(101, 102, &[102], 1));
        assert_eq!(events(&ring, &mut slow).len(), 1);
        ring.clear();
        ring.add(round(102, 102, &[], 1));
        assert!(events(&ring, &mut slow)[0].contains("reset"));
    }
}
