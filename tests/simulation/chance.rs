//! The only source of chance, and the digest that tells whether two runs were the same.
//!
//! Everything that a run decides comes from one seed, so a seed is all that a failure needs to be met again.

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

    /// Yes, so many times in 10,000.
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

/// A digest of all that happened, in order; with `told` it keeps the words too.
#[derive(Default)]
pub struct Trace {
    pub digest: u64,
    pub told: Option<Vec<String>>,
}

impl Trace {
    /// Takes numbers in.
    pub fn add(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.digest = scramble(self.digest ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }

    /// Takes something that happened in; the words are put together only when somebody wants them.
    pub fn note(&mut self, what: &str, numbers: &[u64], words: impl FnOnce() -> String) {
        self.add(&[what.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte))]);
        self.add(numbers);
        if let Some(told) = &mut self.told {
            told.push(format!("{what} {}", words()));
        }
    }
}
