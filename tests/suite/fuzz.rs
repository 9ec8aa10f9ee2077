//! The bodies of the fuzz targets, on cases made by chance: known texts with some bytes changed, or only bytes.
//!
//! `FUZZ_SEED` repeats a run, `FUZZ_CASES` asks for more of each kind. The fuzzers themselves need a nightly compiler
//! (CONTRIBUTING.md).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::scope;

#[path = "../shared/bodies.rs"]
mod bodies;

const CASES: u64 = 20_000;
/// Appends and answers of several at a time take less time.
const THREADS: u64 = 4;
/// Most changes of a text.
const CHANGES_MAX: u64 = 6;
/// Most bytes that come from nowhere.
const RANDOM_BYTES_MAX: u64 = 60;

/// Pseudo-random numbers (splitmix64, Steele et al. 2014).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    fn place(&mut self, bytes: &[u8]) -> usize {
        self.below(bytes.len() as u64 + 1) as usize
    }

    /// A byte that stands in texts, or any.
    fn byte(&mut self) -> u8 {
        const COMMON: &[u8] = b" 0123456789\"\\{}[]:,.=-+\n\r\0azAZ|;\t\xff\xc3";
        match self.below(3) {
            0 => self.below(256) as u8,
            _ => COMMON[self.below(COMMON.len() as u64) as usize],
        }
    }

    /// One of the texts with some changes; now and then only bytes.
    fn case(&mut self, texts: &[&str]) -> Vec<u8> {
        let one = |rng: &mut Self| texts[rng.below(texts.len() as u64) as usize].as_bytes();
        if texts.is_empty() || self.below(8) == 0 {
            let length = self.below(RANDOM_BYTES_MAX);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut bytes = one(self).to_vec();
        for _ in 0..=self.below(CHANGES_MAX) {
            let (at, byte) = (self.place(&bytes), self.byte());
            match self.below(6) {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => {
                    bytes.remove(at);
                }
                3 => {
                    let other = one(self);
                    let from = self.place(other);
                    drop(bytes.splice(at.., other[from..].iter().copied()));
                }
                4 => drop(bytes.splice(at..at, std::iter::repeat_n(byte, 40))),
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        bytes
    }
}

/// Runs a body on cases made of these texts.
fn run(body: fn(&[u8]), texts: &[&str]) {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (seed, cases) = (variable("FUZZ_SEED").unwrap_or(1), variable("FUZZ_CASES").unwrap_or(CASES));
    println!("FUZZ_SEED={seed} repeats these {cases} cases");
    let thread = |number: u64| {
        let mut rng = Rng(seed.wrapping_mul(THREADS).wrapping_add(number));
        for _ in 0..cases.div_ceil(THREADS) {
            let case = rng.case(texts);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&case))) {
                eprintln!("FUZZ_SEED={seed} meets {:?}", String::from_utf8_lossy(&case));
                resume_unwind(panic);
            }
        }
    };
    scope(|threads| {
        let running: Vec<_> = (0..THREADS).map(|number| threads.spawn(move || thread(number))).collect();
        for one in running {
            one.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}

#[test]
fn any_body_gets_a_proper_answer() {
    let texts = [
        r#"{"user_id": "ann", "score": 5}"#,
        r#"{"user_id": "a.b~c", "score": 0}"#,
        r#"{"title": "A post", "content": "<b>é", "id": "x1", "created_by": "ann"}"#,
        r#"{"title": "Again", "repost_of": "p"}"#,
    ];
    run(bodies::body, &texts);
}

#[test]
fn any_setting_is_taken_or_refused() {
    let texts = [
        "cache.ttl_seconds=60\nlimits.ratings_per_minute_per_user=5\nlisten=127.0.0.1:1",
        "moderation.hold=surge\nmoderation.hold_release_hours=72\ncatalogue.mode=open",
        "database_url=postgres://a:b@localhost/x\nredis_url=redis://localhost:1",
        "api.cors_origins=[\"https://\\u0061.example\", \"é\\t\"]\nadmin_hosts=[a, 'b']",
        "drain.schedule=0 */5 * * * *\nsmoothing.vest_half_life_hours=24.5\nopen=anywhere",
    ];
    run(bodies::config, &texts);
}

#[test]
fn any_file_of_ratings_is_read_line_by_line() {
    let texts = [
        "post,user,score,at\np,ann,5,1790000000\np,bob,0,2026-08-01T12:00:00Z\n",
        "user;item;rating;timestamp\n1;2;3.5;1700000000\n\"a\"\"b\";2;1;1700000000000\n",
        "{\"post_id\":\"p\",\"user_id\":\"ann\",\"score\":5,\"at\":1790000000}\n{\"score\":null}\n",
        "1::1193::5::978300760\n1::661::3::978302109\n",
        "p\tann\t4\r\nq\tbob\t2\r\n",
    ];
    run(bodies::csv, &texts);
}

#[test]
fn any_cursor_gets_a_proper_answer() {
    run(bodies::cursor, &[]);
}

#[test]
fn any_readable_entry_survives_being_written() {
    let texts = [
        "1 r hello ann 5 1790000000000",
        "1 R hello ann 0 1790000000000 surge+stated 1789999999999-7",
        "1 w hello ann 1790000000000 young",
        "1 l hello ann 1790000000000 1789999999999-7",
        r#"1 d hello mo 1790000000000 {"deed":{"undo":{"high":1700000000000,"low":0}},"reason":"x"}"#,
        r#"1 d hello mo 1790000000000 {"deed":{"exclude":{"from":"1990-01-01T00:00:00.000Z","to":"2026-01-01T00:00:00.000Z","scores":[0,1]}},"reason":"x"}"#,
        r#"1 d hello mo 1790000000000 {"deed":{"approve":{"seen":["ann",5]}},"reason":"x"}"#,
        r#"1 a hello ann 1790000000000 {"kind":"closing"}"#,
    ];
    run(bodies::entry, &texts);
}
