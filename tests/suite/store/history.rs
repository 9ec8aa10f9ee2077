//! A long history in few points: thinned by the database, and to the last figure what all its hours give.

use std::time::Instant;

use damper::merge::Hour;
use damper::model::Time;

use crate::support::in_both_setups;
use crate::support::log::{START, post_id, posts};
use crate::support::world::World;

in_both_setups!(async
    a_history_of_three_years_is_thinned_by_the_database_and_exact,
);

const HOUR_MS: i64 = 3_600_000;
/// Three years.
const HOURS: i64 = 26_280;

/// Hours of the post p, of which every fifth had no entries; entries came at any minute, and so many.
fn fill(world: &World) {
    let (first, born) = (START.ms() / HOUR_MS * HOUR_MS, START.ms());
    world.db().change(&format!(
        "insert into history (post_id, hour, arrivals, born_at, last_at,
             calm_count, calm_sum, calm_clock, calm_vested, calm_settled_count, calm_settled_sum,
             surge_count, surge_sum, surge_clock, surge_vested, surge_settled_count, surge_settled_sum, intensity,
             count_0, count_1, count_2, count_3, count_4, count_5)
         with recursive n (i) as (select 0 union all select i + 1 from n where i < {HOURS})
         select 'p', {first} + i * cast({HOUR_MS} as bigint), i % 7, {born},
             case when i = 0 then {born} else {first} + i * cast({HOUR_MS} as bigint) + (i * 7919) % {HOUR_MS} end,
             i + 1, 3 * i, 0.0, 0.0, i + 1, 3 * i, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, i + 1, 0, 0
         from n where i % 5 <> 4"
    ));
}

/// Moment, arrivals and count of each step, from all hours.
fn steps(hours: &[Hour], end: Time, points: i64) -> Vec<(Time, u64, u64)> {
    let begin = hours[0].average.born.unwrap();
    let step = |i: i64| begin.plus_ms((end.ms() - begin.ms()) * i / points);
    let last = |hour: &Hour| hour.average.last.unwrap();
    (1..=points)
        .map(|i| {
            let within =
                hours.iter().filter(|hour| last(hour) <= step(i) && (i == 1 || last(hour) > step(i - 1)));
            let before = hours.iter().rfind(|hour| last(hour) <= step(i));
            let count = before.map_or(0, |hour| hour.average.count());
            (step(i), within.map(|hour| hour.arrivals).sum(), count)
        })
        .collect()
}

async fn a_history_of_three_years_is_thinned_by_the_database_and_exact(world: World) {
    let app = world.app().await;
    app.catalogue().ensure_posts(posts(&["p"])).await.unwrap();
    fill(&world);
    let (store, id) = (world.store().await, post_id("p"));
    let hours = store.hours_since(&id, Time::from_ms(0)).await.unwrap();
    assert_eq!(hours.len() as i64, HOURS - HOURS / 5 + 1);
    // Before and after the last entry.
    for now in [START, START.plus_ms((HOURS + 900) * HOUR_MS)] {
        let end = app.ticks().around(now).last.max(hours.last().unwrap().average.last.unwrap());
        for points in [1, 2, 7, 200, 1_000] {
            let asked = Instant::now();
            let (begin, thinned) =
                store.history(&id, app.ticks().around(now).last, points).await.unwrap().unwrap();
            eprintln!("{points} points of {} hours in {:.1?}", hours.len(), asked.elapsed());
            assert!(thinned.len() <= points, "{} rows for {points} points", thinned.len());
            assert_eq!(begin, START);
            let series = app.reader().history(&id, points, now).await.unwrap();
            let found: Vec<_> = series.iter().map(|p| (p.at, p.arrivals, p.published.count)).collect();
            assert_eq!(found, steps(&hours, end, points as i64), "{points} points");
        }
    }
}
