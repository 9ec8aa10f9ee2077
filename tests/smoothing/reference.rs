//! The arithmetic beside the naive one, on random histories of every kind of entry.

use proptest::prelude::*;

use crate::laws::{config, noise};
use crate::log::*;
use crate::naive;

/// Naive is slow: a case takes as long as ten of a law.
fn fewer() -> ProptestConfig {
    ProptestConfig { cases: config().cases / 5, ..config() }
}

proptest! {
    #![proptest_config(fewer())]

    #[test]
    fn a_naive_reference_agrees(params in params(), log in log(), wait_ms in 0..60 * DAY_MS) {
        let mut post = Post::new(params);
        let mut naive = naive::Post::new(naive::Rules::of(&params));
        for entry in &log {
            post.apply(entry);
            apply(&mut naive, entry);
            if naive.is_tie {
                return Ok(());
            }
            let mut later = naive.clone();
            later.wait_until(entry.at.ms() + wait_ms);
            for (average, naive) in [(post.average, &naive), (post.average.at(entry.at.plus_ms(wait_ms), &params), &later)] {
                let slack = 1e-9 * (1.0 + log.len() as f64);
                let vested = [naive::Lane::Calm, naive::Lane::Surge].map(|lane| naive.vested(lane));
                for (found, expected) in [average.calm.vested, average.surge.vested].into_iter().zip(vested) {
                    prop_assert!((found - expected).abs() < slack, "{found} {expected} after {entry:?}");
                }
                let means = average.smoothed_mean(&params).zip(average.raw_mean());
                prop_assert_eq!(means.is_some(), naive.means().is_some());
                for ((mean, raw), (other, other_raw)) in means.into_iter().zip(naive.means()) {
                    let error = (mean - other).abs().max((raw - other_raw).abs());
                    // The reference rounds each weight at each entry, and sums up what is left of 1.
                    let settled = settled_count(&average) + params.knobs().seed_weight;
                    let rounding = 1e-15 * (log.len() as f64).powi(2) / settled;
                    prop_assert!(
                        error < 1e-9 + rounding + noise(&log, &post),
                        "{mean} {other} after {entry:?}"
                    );
                }
            }
        }
    }
}

fn apply(naive: &mut naive::Post, entry: &Entry) {
    let (user, at) = (entry.user.into(), entry.at.ms());
    match entry.op {
        Op::Rate(score) => naive.rate(user, score.get().into(), at, entry.is_stated),
        Op::Hold(score) => naive.hold(user, score.get().into(), at, entry.is_stated),
        Op::Withdraw => naive.withdraw(user, at, entry.is_stated),
        Op::Exclude => naive.set_out(user, true, at),
        Op::Restore => naive.set_out(user, false, at),
        Op::Release => naive.release(user, at),
        Op::Reject => naive.reject(user, at),
    }
}
