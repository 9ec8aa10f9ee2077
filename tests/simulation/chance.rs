//! The only source of randomness, and the digest that shows whether two runs were the same.
//!
//! Every decision of a run comes from one seed, so the seed is enough to reproduce a failure.

/// Pseudo-random numbers (splitmix64, Steele et al. 2014).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// 0 to `end` − 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True this many times in 10,000.
    pub fn hits(&mut self, per_10_000: usize) -> bool {
        self.below(10_000) < per_10_000
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A digest of all events, in order. `words` also keeps them as text, when wanted.
#[derive(Default)]
pub struct Trace {
    pub digest: u64,
    pub words: Option<Vec<String>>,
}

impl Trace {
    /// Adds numbers to the digest.
    pub fn add(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.digest = scramble(self.digest ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }

    /// Adds an event. Its text is only built when wanted.
    pub fn note(&mut self, what: &str, numbers: &[u64], words: impl FnOnce() -> String) {
        self.add(&[what.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte))]);
        self.add(numbers);
        if let Some(kept) = &mut self.words {
            kept.push(format!("{what} {}", words()));
        }
    }
}
