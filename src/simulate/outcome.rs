//! The figures of a simulation, added up over posts, and what they recommend. Tables, JSON and the report show these.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::budget::{self, AGES, AIMS, Budget, SIZES};
use super::chart::thousands;
use super::detail::Detail;
use super::method::RIVALS;
use super::settings::Setting;
use super::study::{Alert, Event, OFFSETS, Plan, Sample, Tally};
use crate::model::{PostId, Time};
use crate::smoothing::Knobs;

/// Events and alerts that are shown one by one.
const SHOWN_MAX: usize = 20;

/// What a simulation found.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Posts and ratings.
    pub posts: u64,
    /// Ratings.
    pub ratings: u64,
    /// Every method, the rivals first.
    pub methods: Vec<Figures>,
    /// Bursts and attacks, the largest first.
    pub events: Vec<Event>,
    /// How many there were.
    pub events_total: usize,
    /// Posts with a lasting change, and when it began.
    pub changes: Vec<Changed>,
    /// The attack budget.
    pub budgets: Vec<Budget>,
    /// What the accounts of the budget were to do.
    pub aims: Vec<&'static str>,
    /// What to set, with the reason.
    pub recommended: Recommendation,
    /// The post that is drawn.
    pub detail: Option<Detail>,
}

/// A lasting change of what people think.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// The post.
    pub post: PostId,
    /// When it began.
    pub at: Time,
}

/// The figures of a method.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Its name.
    pub name: String,
    /// The settings, if it is Damper.
    pub settings: Option<Knobs>,
    /// How far bursts and attacks moved the mean at each offset, in stars, on average; where some went up and others down,
    /// the sizes are averaged.
    pub shifts: Vec<Option<f64>>,
    /// The largest move.
    pub peak: Option<f64>,
    /// Half of a true change shows so many days after the exact mean: the median.
    pub lag_days: Option<f64>,
    /// The distance from the exact mean in calm times, in stars (root of the mean square).
    pub calm_distance: Option<f64>,
    /// The share of honest ratings that took the surge lane.
    pub surge_share: Option<f64>,
    /// Alerts that would have been raised.
    pub alerts: Option<u64>,
    /// The largest of them.
    pub largest_alerts: Vec<Alert>,
}

/// What to set.
#[derive(Debug, Clone, Serialize)]
pub struct Recommendation {
    /// The name of the settings.
    pub name: String,
    /// The settings that differ from the defaults, as flags.
    pub flags: Vec<String>,
    /// Why, in one sentence.
    pub reason: String,
}

/// The budgets of all ages and sizes that have posts.
pub fn budgets(tally: &Tally, settings: &[Setting], threads: usize) -> Vec<Budget> {
    let cells: Vec<(usize, usize, &[Sample])> = tally
        .samples
        .iter()
        .enumerate()
        .flat_map(|(age, sizes)| {
            sizes.iter().enumerate().map(move |(size, samples)| (age, size, &samples[..]))
        })
        .filter(|(_, _, samples)| !samples.is_empty())
        .collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((age, size, samples)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let budget = budget_of(*age, *size, samples, settings);
                    found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(((*age, *size), budget));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, budget)| budget).collect()
}

fn budget_of(age: usize, size: usize, samples: &[Sample], settings: &[Setting]) -> Budget {
    let medians = |all: Vec<[Option<u64>; AIMS.len()]>| {
        let mut aims = [None; AIMS.len()];
        for (aim, found) in aims.iter_mut().enumerate() {
            *found = budget::median(all.iter().map(|accounts| accounts[aim]).collect());
        }
        aims
    };
    let of_setting = |(number, setting): (usize, &Setting)| {
        medians(
            samples
                .iter()
                .map(|sample| budget::accounts(&sample.states[number], sample.at, setting))
                .collect(),
        )
    };
    let raw = medians(
        samples.iter().filter_map(|sample| sample.states.first()).map(budget::accounts_raw).collect(),
    );
    Budget {
        age: AGES[age].1,
        size: SIZES[size].1,
        posts: samples.len(),
        accounts: settings.iter().enumerate().map(of_setting).collect(),
        raw,
    }
}

impl Outcome {
    /// Adds up what was seen.
    pub fn of(tally: Tally, plan: &Plan, budgets: Vec<Budget>, detail: Option<Detail>) -> Self {
        // Invented attacks are what was asked for; without them the bursts that were found.
        let has_attack = tally.events.iter().any(|event| event.is_attack);
        let meant: Vec<&Event> = tally.events.iter().filter(|event| event.is_attack == has_attack).collect();
        let methods: Vec<Figures> = (0..RIVALS.len() + plan.settings.len())
            .map(|method| figures(method, &meant, &tally, plan))
            .collect();
        let recommended = recommend(&methods, &budgets, tally.posts, has_attack, meant.len());
        let events_total = tally.events.len();
        Self {
            posts: tally.posts,
            ratings: tally.ratings,
            events: tally.events.into_iter().take(SHOWN_MAX).collect(),
            events_total,
            changes: tally
                .changes
                .into_iter()
                .take(SHOWN_MAX)
                .map(|(post, at)| Changed { post, at })
                .collect(),
            methods,
            budgets,
            aims: AIMS.iter().map(|(.., name)| *name).collect(),
            recommended,
            detail,
        }
    }
}

fn figures(method: usize, meant: &[&Event], tally: &Tally, plan: &Plan) -> Figures {
    let setting = method.checked_sub(RIVALS.len());
    // Of moves in both directions the sizes count.
    let average = |values: Vec<f64>| {
        let is_one_way = values.iter().all(|value| *value <= 0.0) || values.iter().all(|value| *value >= 0.0);
        let sum: f64 = values.iter().map(|value| if is_one_way { *value } else { value.abs() }).sum();
        (!values.is_empty()).then(|| sum / values.len() as f64)
    };
    let shifts = (0..OFFSETS.len())
        .map(|offset| average(meant.iter().filter_map(|event| event.shifts.get(method)?[offset]).collect()));
    let (squares, count) = tally.calm[method];
    let mut lags = tally.lags[method].clone();
    lags.sort_by(f64::total_cmp);
    Figures {
        name: match setting {
            None => RIVALS[method].to_owned(),
            Some(setting) => plan.settings[setting].name.clone(),
        },
        settings: setting.map(|setting| plan.settings[setting].knobs),
        shifts: shifts.collect(),
        peak: average(meant.iter().filter_map(|event| event.peaks.get(method).copied()).collect()),
        lag_days: lags.get(lags.len() / 2).copied(),
        calm_distance: (count > 0).then(|| (squares / count as f64).sqrt()),
        surge_share: setting.map(|setting| {
            let (all, surge) = tally.honest[setting];
            surge as f64 / all.max(1) as f64
        }),
        alerts: setting.map(|setting| tally.alerts[setting].0),
        largest_alerts: setting
            .map_or(Vec::new(), |setting| tally.alerts[setting].1.iter().take(SHOWN_MAX).cloned().collect()),
    }
}

/// The settings whose harm and cost are least together. The harm is what bursts and attacks did within a day and a week, or,
/// without any, how much cheaper than it might be a move of posts is; the cost is the distance from the exact mean in calm
/// times, the days by which a true change is late, and alerts where nothing happened.
fn recommend(
    methods: &[Figures],
    budgets: &[Budget],
    posts: u64,
    has_attack: bool,
    events: usize,
) -> Recommendation {
    let damper = methods[RIVALS.len()..].iter().enumerate();
    let weighed = damper.map(|(number, figures)| {
        (harm(number, figures, budgets) + cost(figures, posts, events), number, figures)
    });
    let Some((_, number, best)) = weighed.min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return Recommendation { name: String::new(), flags: Vec::new(), reason: String::new() };
    };
    let reason = reason(number, best, &methods[0], budgets, has_attack, events);
    Recommendation { name: best.name.clone(), flags: flags(best.settings.as_ref()), reason }
}

/// The offsets of a day and of a week.
const DAY: usize = 1;
const WEEK: usize = 2;
/// The places of `.1 in a day` and `.5 in a day` among the aims.
const AIMED: [usize; 2] = [1, 4];

fn harm(number: usize, figures: &Figures, budgets: &[Budget]) -> f64 {
    if let (Some(day), Some(week)) = (figures.shifts[DAY], figures.shifts[WEEK]) {
        return day.abs() + week.abs() / 2.0;
    }
    // How many accounts the exact mean takes, for each that Damper takes.
    let cells = budgets.iter().flat_map(|budget| {
        AIMED.map(|aim| {
            let all = 2.0 * budget::ACCOUNTS_MAX as f64;
            let of = |accounts: Option<u64>| accounts.map_or(all, |accounts| accounts as f64);
            of(budget.raw[aim]) / of(budget.accounts.get(number).and_then(|accounts| accounts[aim]))
        })
    });
    let cells: Vec<f64> = cells.collect();
    cells.iter().sum::<f64>() / cells.len().max(1) as f64 / 2.0
}

fn cost(figures: &Figures, posts: u64, events: usize) -> f64 {
    /// A month's delay of a true change weighs as much as a move by half a star.
    const LAG_WEIGHT: f64 = 0.5 / 30.0;
    /// An alert about every post weighs as much as a move by half a star.
    const ALERT_WEIGHT: f64 = 0.5;
    let needless = figures.alerts.unwrap_or(0).saturating_sub(events as u64) as f64 / posts.max(1) as f64;
    figures.calm_distance.unwrap_or(0.0)
        + figures.lag_days.unwrap_or(0.0).max(0.0) * LAG_WEIGHT
        + needless.min(1.0) * ALERT_WEIGHT
}

fn reason(
    number: usize,
    best: &Figures,
    raw: &Figures,
    budgets: &[Budget],
    has_attack: bool,
    events: usize,
) -> String {
    let stars = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{:.2}", value.abs()));
    let what = match (has_attack, events) {
        (true, 1) => "the attack moves",
        (true, _) => "the attacks move",
        (false, 1) => "the burst that was found moves",
        (false, _) => "the bursts that were found move",
    };
    let count = |number: Option<u64>| {
        number.map_or_else(|| format!("more than {}", thousands(budget::ACCOUNTS_MAX)), thousands)
    };
    let mut reason = match (events, budgets.last()) {
        (1.., _) => format!(
            "{what} the published mean by {} stars within a day and {} within a week, where the exact mean moves by {} and {}",
            stars(best.shifts[DAY]),
            stars(best.shifts[WEEK]),
            stars(raw.shifts[DAY]),
            stars(raw.shifts[WEEK]),
        ),
        (0, Some(budget)) => format!(
            "no burst was found, and to move a post that is {} old and has {} ratings by half a star within a day it takes {} \
             accounts, where the exact mean takes {}",
            budget.age,
            budget.size,
            count(budget.accounts.get(number).and_then(|accounts| accounts[AIMED[1]])),
            count(budget.raw[AIMED[1]]),
        ),
        (0, None) => "the posts are too young or too small to say more".to_owned(),
    };
    match (best.lag_days, best.calm_distance) {
        (Some(lag), _) if lag > 0.05 => {
            reason += &format!("; half of a true change shows {lag:.1} days after it");
        }
        (_, Some(distance)) => {
            reason += &format!("; in calm times it stays within {distance:.2} stars of it")
        }
        _ => {}
    }
    reason + "."
}

/// The settings that differ from the defaults, as flags.
fn flags(knobs: Option<&Knobs>) -> Vec<String> {
    let Some(knobs) = knobs else { return Vec::new() };
    let differs = knobs.ranges().into_iter().zip(Knobs::default().ranges());
    let differs = differs.filter(|((_, own, _), (_, usual, _))| own != usual);
    differs.map(|((name, own, _), _)| format!("--set smoothing.{name}={own}")).collect()
}
