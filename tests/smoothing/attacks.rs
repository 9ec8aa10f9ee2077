//! What was tried to wear the arithmetic down (docs/SMOOTHING.md, "Version 2"), each with the figure that it reaches.

use damper::model::{Score, Time};
use damper::smoothing::{AlertLevel, Knobs, Params};

use crate::log::{DAY_MS, Entry, HOUR_MS, Op, Post, START, lane_of};

fn params() -> Params {
    Params::new(&Knobs::default()).unwrap()
}

fn score(value: i64) -> Score {
    Score::parse(value).unwrap()
}

fn rate(user: u16, value: i64, at: Time) -> Entry {
    Entry { at, is_stated: false, user, op: Op::Rate(score(value)) }
}

/// Ratings of a file: `count` users, evenly over so many days.
fn file(count: u16, days: i64) -> Vec<Entry> {
    let step = days * DAY_MS / i64::from(count);
    let line = |user: u16| Entry {
        is_stated: true,
        ..rate(user, [4, 5, 3, 4, 2][usize::from(user % 5)], START.plus_ms(i64::from(user) * step))
    };
    (0..count).map(line).collect()
}

#[test]
fn a_settled_file_that_is_sent_again_changes_no_bit() {
    let file = file(1_800, 150);
    let once = Post::fold(params(), &file);
    let mut again = once.clone();
    for entry in &file {
        assert!(!again.apply(entry), "{entry:?}");
    }
    assert_eq!(format!("{:?}", once.average), format!("{:?}", again.average));
    // A page that posts the same score once more does nothing either, however late.
    let late = START.plus_ms(180 * DAY_MS);
    for entry in &file {
        assert!(!again.apply(&Entry { at: late, is_stated: false, ..*entry }), "{entry:?}");
    }
    assert_eq!(format!("{:?}", once.average), format!("{:?}", again.average));
}

#[test]
fn one_account_that_rates_and_withdraws_every_minute_moves_nothing() {
    // Honest ratings of a young post, eight a day, which must not be taken for a surge.
    let honest =
        (0..80).map(|i| rate(i, if i % 4 == 0 { 3 } else { 5 }, START.plus_ms(i64::from(i) * 3 * HOUR_MS)));
    let honest: Vec<Entry> = honest.collect();
    let quiet = Post::fold(params(), &honest);
    let mut busy = honest;
    for minute in (0..10 * 24 * 60).step_by(2) {
        let at = START.plus_ms(minute * 60_000);
        busy.push(rate(9_999, 0, at));
        busy.push(Entry { op: Op::Withdraw, ..rate(9_999, 0, at.plus_ms(60_000)) });
    }
    busy.sort_by_key(|entry| entry.at);
    let busy = Post::fold(params(), &busy);
    assert_eq!(busy.average.surge.count, 0, "no honest rating is taken for a surge");
    for day in [10, 11, 20] {
        let at = START.plus_ms(day * DAY_MS);
        let (quiet, busy) = (quiet.mean_at(at).unwrap(), busy.mean_at(at).unwrap());
        assert!((quiet - busy).abs() <= 0.02, "day {day}: {quiet} {busy}");
    }
}

/// A post of 200 ratings, 60 days old, and a bomb of 500 zeros within ten minutes.
fn bombed() -> Post {
    let mut post = Post::fold(params(), &file(200, 60));
    for user in 0..500 {
        post.apply(&rate(1_000 + user, 0, START.plus_ms(60 * DAY_MS + i64::from(user) * 1_200)));
    }
    assert!(post.average.surge.count > 480, "{}", post.average.surge.count);
    post
}

#[test]
fn a_bomb_does_not_edit_itself_calm() {
    let (once, mut twice) = (bombed(), bombed());
    let later = START.plus_ms(60 * DAY_MS + 12 * HOUR_MS);
    for user in 0..500 {
        twice.apply(&rate(1_000 + user, 1, later.plus_ms(i64::from(user) * 60_000)));
    }
    assert_eq!(twice.average.surge.count, once.average.surge.count, "none has left the surge lane");
    let at = START.plus_ms(63 * DAY_MS);
    let (once, twice) = (once.mean_at(at).unwrap(), twice.mean_at(at).unwrap());
    // A star instead of none raises the mean a little.
    assert!(twice >= once && twice - once < 0.1, "{once} {twice}");
}

#[test]
fn one_rating_of_an_old_post_is_no_alert_and_a_bomb_is_one() {
    let mut old = Post::fold(params(), &file(10, 60));
    old.apply(&rate(1_000, 0, START.plus_ms(90 * DAY_MS)));
    let hours = |hours: i64| START.plus_ms(90 * DAY_MS + hours * HOUR_MS);
    assert!(old.average.at(hours(1), &old.params).is_crowded(&old.params), "as crowded as version 1 had it");
    for hour in 0..48 {
        let level = old.average.at(hours(hour), &old.params).alert_level(&old.params);
        assert_eq!(level, AlertLevel::Over, "{hour} hours later");
    }
    // A bomb is one from its first minutes on, and is over when it has arrived.
    let bomb = bombed();
    let at = |days: i64| bomb.average.at(START.plus_ms((60 + days) * DAY_MS), &bomb.params);
    let level = |days| at(days).alert_level(&bomb.params);
    assert!(matches!(level(1), AlertLevel::Raised(shift) if shift > 1.0), "{:?}", level(1));
    let course: Vec<AlertLevel> = (1..400).map(level).collect();
    let fading = course.iter().filter(|level| matches!(level, AlertLevel::Fading(_))).count();
    assert!(fading > 0 && course.last() == Some(&AlertLevel::Over), "{course:?}");
    let shifts: Vec<f64> = course.iter().map_while(|level| level.shift()).collect();
    assert!(shifts.is_sorted_by(|a, b| a >= b), "it comes down: {shifts:?}");
    // Praise and blame alike, and a burst that agrees with the average moves nothing.
    let mut agreed = Post::fold(
        params(),
        &(0..200).map(|i| rate(i, 4, START.plus_ms(i64::from(i) * 6 * HOUR_MS))).collect::<Vec<_>>(),
    );
    for user in 0..500 {
        agreed.apply(&rate(1_000 + user, 4, START.plus_ms(60 * DAY_MS + i64::from(user) * 1_200)));
    }
    assert!(agreed.average.is_surging(&agreed.params));
    assert_eq!(agreed.average.alert_level(&agreed.params), AlertLevel::Over);
}

#[test]
fn a_thousand_releases_at_once_are_no_surge() {
    let mut post = Post::fold(params(), &file(200, 60));
    let begin = START.plus_ms(60 * DAY_MS);
    let held = |user: u16| 1_000 + user;
    for user in 0..1_000 {
        let at = begin.plus_ms(i64::from(user) * 50 * DAY_MS / 1_000);
        post.apply(&Entry { op: Op::Hold(score(4)), ..rate(held(user), 4, at) });
    }
    let calm = (0..1_000).filter(|user| {
        let lane = post.users[&held(*user)].held.unwrap().arrival.lane;
        std::ptr::eq(lane_of(&post.average, lane), &post.average.calm)
    });
    let calm = calm.count() as u64;
    let (before, end) = (post.average.calm.count, begin.plus_ms(50 * DAY_MS));
    let intensity = post.average.at(end, &post.params).intensity;
    for user in 0..1_000 {
        post.apply(&Entry { op: Op::Release, ..rate(held(user), 4, end) });
    }
    assert_eq!(post.average.intensity, intensity, "a release is no arrival");
    assert_eq!(post.average.calm.count - before, calm, "each takes the lane that it took when it was held");
    // Who rates after them is not taken for a part of a surge.
    let surge = post.average.surge.count;
    post.apply(&rate(5_000, 1, end.plus_ms(1)));
    assert_eq!(post.average.surge.count, surge);
}
