//! Why a post's published average is what it is, in words: the figures of `/api/posts/{id}/explain` as sentences.

use crate::app::reading::PostView;
use crate::model::Time;
use crate::model::words::{counted, number, span_ms};
use crate::smoothing::{Params, Published};

/// Sentences, each a paragraph.
pub fn words(view: &PostView, params: &Params, now: Time) -> Vec<String> {
    let average = &view.average;
    let published = Published::of(average, params);
    let (Some(mean), Some(raw)) = (published.average, published.raw_average) else {
        return vec!["There are no ratings that count yet, so there is no average.".into()];
    };
    let settled = average.calm.settled_count + average.surge.settled_count;
    let settled_sum = average.calm.settled_sum + average.surge.settled_sum;
    let seed = params.knobs().seed_weight;
    let ratings = counted(average.count(), "rating counts", "ratings count");
    let mut words = vec![format!(
        "{ratings}; their exact mean is {raw:.4}. What is published is {mean:.4}, {} it: of their weight {} has \
         settled, and {} is still phasing in.",
        apart(mean - raw),
        counted(settled.round() as u64, "rating's worth", "ratings' worth"),
        number(published.phasing_in)
    )];
    if settled >= 0.5 {
        words.push(format!(
            "({settled_sum:.1} settled sum + {seed} × {raw:.4}) ÷ ({settled:.1} settled count + {seed}) = {mean:.4}. The raw \
             mean has a say of {seed} ratings, so that a young post shows a number at all."
        ));
    }
    let lanes = [
        ("calm", &average.calm, "ordinary ratings"),
        ("surge", &average.surge, "ratings that came in a surge"),
    ];
    for (name, lane, what) in lanes.into_iter().filter(|(_, lane, _)| lane.count > 0) {
        let lane_mean = lane.sum as f64 / lane.count as f64;
        let left = lane.unvested().max(0.0).round() as u64;
        let rest = if left > 0 { format!("{} phasing in", number(left)) } else { "all settled".into() };
        words.push(format!(
            "The {name} lane holds {} {what} with a mean of {lane_mean:.2}, {rest}.",
            number(lane.count)
        ));
    }
    if average.is_surging(params) {
        words.push(format!(
            "It is in a surge: the arrivals of late weigh {:.1}, and above {:.1} a rating takes the surge lane, which is slower.",
            average.intensity,
            average.surge_above(params)
        ));
    }
    if published.crowded {
        words.push("It is crowded: so much is phasing in that the pace limit, and not the half-life, sets the speed.".into());
    }
    let next = span_ms((view.next_tick.ms() - now.ms()).max(0).unsigned_abs());
    words.push(format!("The number moves at ticks; the next one comes in {next}."));
    words
}

/// How far above or below, in words.
fn apart(difference: f64) -> String {
    match difference {
        near if near.abs() < 0.005 => "at".into(),
        above if above > 0.0 => format!("{above:.2} above"),
        below => format!("{:.2} below", -below),
    }
}
