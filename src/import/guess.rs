//! Which command a refusal proposes for columns that no name explains: a proposal from the first lines, which a person
//! reads before running it. Nothing is imported by it.

use super::clock::{formats_of, parse_time};
use super::known::{Unclear, give};
use super::options::{Column, Options, POST, SCORE, TIME, USER};
use super::scale::{self, Decimal};
use crate::model::Time;

/// Scores have fewer different values than this.
const SCORES_MAX: usize = 101;

/// What the values of a column look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Time,
    Score,
    Other,
}

/// Proposes columns for the roles that `open` names as missing, from rows of values. `names` are those of the header, if
/// there is one. `taken` are columns that have a role.
pub fn propose(
    open: &mut Unclear,
    missing: &[usize],
    names: Option<&[String]>,
    rows: &[Vec<String>],
    taken: &[usize],
    now: Time,
) {
    let width = rows.iter().map(Vec::len).max().or(names.map(<[_]>::len)).unwrap_or_default();
    let mut free: Vec<(usize, Look)> = (0..width)
        .filter(|column| !taken.contains(column))
        .map(|column| (column, look(rows, column, now)))
        .collect();
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    let mut take = |free: &mut Vec<(usize, Look)>, role: usize, found: Option<usize>| {
        let found = found.map(|at| free.remove(at).0);
        chosen.extend(found.map(|column| (role, column)));
        found.is_some()
    };
    if missing.contains(&TIME) {
        // Of several the last, as files have it.
        let at = free.iter().rposition(|(_, look)| *look == Look::Time);
        if !take(&mut free, TIME, at) {
            open.remedies.iter_mut().for_each(|options| give(options, TIME, now));
        }
    }
    if missing.contains(&SCORE) {
        // The last again: ids may be small numbers too, and stand before it.
        let at = free.iter().rposition(|(_, look)| *look == Look::Score);
        match at.map(|at| free[at].0) {
            Some(column) => propose_scale(open, rows, column),
            None => open.remedies.clear(),
        }
        take(&mut free, SCORE, at);
    }
    let ids: Vec<usize> = free.iter().map(|(column, _)| *column).collect();
    // Which of two ids is the user is not seen in them: both orders are proposed.
    let orders: Vec<Vec<(usize, usize)>> = match (missing.contains(&POST), missing.contains(&USER)) {
        (true, true) => match ids[..] {
            [] => vec![vec![]],
            [one] => vec![vec![(USER, one)], vec![(POST, one)]],
            [one, two, ..] => vec![vec![(USER, one), (POST, two)], vec![(POST, one), (USER, two)]],
        },
        (true, false) => vec![ids.first().map(|one| (POST, *one)).into_iter().collect()],
        (false, true) => vec![ids.first().map(|one| (USER, *one)).into_iter().collect()],
        (false, false) => vec![vec![]],
    };
    let before = std::mem::take(&mut open.remedies);
    for order in &orders {
        for options in &before {
            let mut options = options.clone();
            for (role, column) in chosen.iter().chain(order) {
                options.columns.0[*role] = Some(named(*column, names));
            }
            for role in [POST, USER] {
                let is_there = options.columns.0[role].is_some() || !missing.contains(&role);
                if !is_there {
                    give(&mut options, role, now);
                }
            }
            open.remedies.push(options);
        }
    }
    let time = chosen.iter().find(|(role, _)| *role == TIME).map(|(_, column)| *column);
    let unread = time.and_then(|column| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        texts.map(String::as_str).find(|text| parse_time(text).is_err())
    });
    if let Some(format) = unread.and_then(|text| formats_of(text).first().copied()) {
        open.remedies.iter_mut().for_each(|options: &mut Options| {
            options.time_format.get_or_insert_with(|| format.to_owned());
        });
    }
}

/// Adds a scale to every remedy, if the scores of the first lines need one.
fn propose_scale(open: &mut Unclear, rows: &[Vec<String>], column: usize) {
    let texts = || rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
    let values: Vec<Decimal> = texts().filter_map(Decimal::parse).collect();
    let (low, high) = (values.iter().min().copied(), values.iter().max().copied());
    let own = Decimal::whole(0)..=Decimal::whole(5);
    let found = match low.zip(high) {
        None if texts().any(|text| scale::word(text).is_some()) => {
            scale::fitting(Decimal::whole(0), Decimal::whole(1))
        }
        Some((low, high)) if !own.contains(&low) || !own.contains(&high) => scale::fitting(low, high),
        _ => Vec::new(),
    };
    if let Some(scale) = found.first() {
        open.remedies.iter_mut().for_each(|options| {
            options.scale.get_or_insert(*scale);
        });
    }
}

fn named(column: usize, names: Option<&[String]>) -> Column {
    let name = names.and_then(|names| names.get(column));
    // A name with a comma, or one like a number, cannot be said.
    let is_sayable =
        |name: &&String| !name.is_empty() && !name.contains([',', '"']) && name.parse::<usize>().is_err();
    name.filter(is_sayable).map_or(Column::Number(column + 1), |name| match name.starts_with('/') {
        true => Column::Pointer(name.clone()),
        false => Column::Name(name.clone()),
    })
}

fn look(rows: &[Vec<String>], column: usize, now: Time) -> Look {
    let values: Vec<&str> = rows.iter().filter_map(|row| row.get(column)).map(String::as_str).collect();
    let values: Vec<&str> = values.into_iter().filter(|value| !value.is_empty()).collect();
    if values.is_empty() {
        return Look::Other;
    }
    let all = |holds: &dyn Fn(&str) -> bool| values.iter().all(|value| holds(value));
    let is_moment = |text: &str| parse_time(text).is_ok_and(|at| at.check_entry(now).is_ok());
    if all(&|text| {
        is_moment(text) || !text.chars().all(|c| c.is_ascii_digit()) && !formats_of(text).is_empty()
    }) {
        return Look::Time;
    }
    let is_score = |text: &str| {
        scale::word(text).is_some()
            || Decimal::parse(text)
                .is_some_and(|value| (Decimal::whole(-100)..=Decimal::whole(100)).contains(&value))
    };
    let mut different = values.clone();
    different.sort_unstable();
    different.dedup();
    if all(&is_score) && different.len() < SCORES_MAX { Look::Score } else { Look::Other }
}
