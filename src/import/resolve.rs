//! Which column has which role: by what the operator says, by the file's name among the known ones, or by the names of its
//! columns. What is left open is refused with the commands that say it.

use super::clock::parse_time;
use super::guess;
use super::known::{self, Known, Unclear};
use super::options::{Column, Options, ROLES, SCORE};
use crate::error::{Invalid, Kind};
use crate::model::Time;

/// The columns of a rating, and other names for them, in small letters, without `_`, `-` and spaces; a post's and a user's
/// also without `id` at the end.
pub const COLUMNS: [(&str, &[&str]); ROLES.len()] = [
    ("post", &["item", "movie", "film", "book", "product", "article"]),
    ("user", &["reviewer", "customer"]),
    ("score", &["rating", "stars"]),
    ("timestamp", &["time", "date", "datetime", "at", "createdat", "ratedat"]),
];

/// Columns as far as they are found.
pub struct Resolved {
    pub places: [Option<usize>; ROLES.len()],
    pub known: Option<&'static Known>,
    /// Roles without a column or a value.
    pub missing: Vec<usize>,
    has_names: bool,
    /// A role that several columns may be.
    doubtful: Option<usize>,
}

impl Resolved {
    /// Nothing yet.
    pub fn new(has_names: bool) -> Self {
        Self { places: [None; ROLES.len()], known: None, missing: Vec::new(), has_names, doubtful: None }
    }

    /// Finds the columns of a table.
    pub fn find(
        &mut self,
        options: &Options,
        names: Option<&[String]>,
        width: usize,
        shown: &str,
    ) -> Result<(), Invalid> {
        let is = |own: &str, name: &str| own.trim().eq_ignore_ascii_case(name);
        let places_of = |name: &str| -> Vec<usize> {
            let all = names.unwrap_or_default();
            let exact: Vec<usize> = (0..all.len()).filter(|place| all[*place] == name).collect();
            if exact.is_empty() {
                (0..all.len()).filter(|place| is(&all[*place], name)).collect()
            } else {
                exact
            }
        };
        self.known = names.and_then(|_| known::find(|name| places_of(name).len() == 1));
        let refuse = |detail: String| Err(Invalid::new(Kind::UnknownHeader, detail));
        for role in 0..ROLES.len() {
            let place = match (&options.columns.0[role], options.is_given(role)) {
                (Some(_), true) => return Err(given_twice(role)),
                (None, true) => {
                    let known = self
                        .known
                        .and_then(|known| known.columns[role])
                        .and_then(|name| places_of(name).first().copied());
                    let named = known.or_else(|| self.by_name(role, names.unwrap_or_default()));
                    match named.and_then(|place| names?.get(place)) {
                        Some(name) => return Err(has_column(role, name)),
                        None => continue,
                    }
                }
                (Some(Column::Number(number)), _) if *number <= width => Some(number - 1),
                (Some(Column::Number(number)), _) => {
                    return refuse(format!(
                        "there is no column {number}: the first line {shown:?} has {width}"
                    ));
                }
                (Some(Column::Pointer(pointer)), _) => {
                    return refuse(format!(
                        "{pointer} is a JSON pointer, and the file is not JSON: name a column"
                    ));
                }
                (Some(Column::Name(name)), _) => match places_of(name)[..] {
                    [place] => Some(place),
                    [] => {
                        return refuse(format!("no column is called {name:?}: the first line is {shown:?}"));
                    }
                    _ => {
                        return refuse(format!(
                            "several columns are called {name:?}: give its number instead"
                        ));
                    }
                },
                (None, false) => {
                    let known = self.known.and_then(|known| known.columns[role]);
                    match known.map(&places_of).as_deref() {
                        Some([place]) => Some(*place),
                        _ if self.known.is_some() => None,
                        _ => self.by_name(role, names.unwrap_or_default()),
                    }
                }
            };
            self.places[role] = place;
            if place.is_none() {
                self.missing.push(role);
            }
        }
        let twice = (0..ROLES.len())
            .find(|role| self.places[*role].is_some() && self.places[..*role].contains(&self.places[*role]));
        match twice {
            Some(role) => refuse(format!("the {} and another value are the same column", ROLES[role])),
            None => Ok(()),
        }
    }

    fn by_name(&mut self, role: usize, names: &[String]) -> Option<usize> {
        let mut found = (0..names.len()).filter(|place| column(&names[*place]) == Some(role));
        let first = found.next()?;
        if found.next().is_some() {
            self.doubtful.get_or_insert(role);
            return None;
        }
        Some(first)
    }

    /// Refuses what is left open.
    #[allow(clippy::too_many_arguments, reason = "what a proposal is made from")]
    pub fn check(
        &self,
        options: &Options,
        time: Option<&str>,
        names: Option<&[String]>,
        rows: &[Vec<String>],
        shown: &str,
        delimiter: &str,
        now: Time,
    ) -> Result<(), Invalid> {
        let has_zone = time.is_some_and(|text| parse_time(text).is_ok());
        let open = match self.known {
            Some(known) => known.unclear(options, has_zone, now),
            None => Unclear { reasons: Vec::new(), remedies: vec![options.clone()] },
        };
        if !open.reasons.is_empty() {
            let name = self.known.map_or("", |known| known.name);
            let detail = match open.remedies.len() {
                0 => format!("the file is {name}: {}", open.reasons.join("; ")),
                count => format!(
                    "the file is from {name}, and leaves open:\n  - {}\n{}{}",
                    open.reasons.join("\n  - "),
                    if count > 1 { "say it with one of these" } else { "say it" },
                    open.commands()
                ),
            };
            return Err(Invalid::new(Kind::UnclearFile, detail));
        }
        let Some(role) = self.missing.first().copied() else { return Ok(()) };
        let (name, others) = COLUMNS[role];
        let mut open = open;
        let taken: Vec<usize> = self.places.iter().flatten().copied().collect();
        guess::propose(&mut open, &self.missing, names, rows, &taken, now);
        let wanted = COLUMNS.map(|(name, _)| name).join(delimiter);
        let what = if self.doubtful == Some(role) {
            format!("several of its columns may be the {name}: rename all but one")
        } else {
            format!("none of its columns is the {name} ({})", others.join(", "))
        };
        let or_say =
            if open.remedies.is_empty() { "" } else { ", or say which columns are meant, for example" };
        let head = if self.has_names { "is not a known header" } else { "leaves open what its columns are" };
        Err(Invalid::new(
            Kind::UnknownHeader,
            format!(
                "the first line {shown:?} {head}: {what}; write it like {wanted:?}{or_say}{}",
                open.commands()
            ),
        ))
    }
}

/// Refuses a role that is said twice.
pub fn given_twice(role: usize) -> Invalid {
    let detail = format!("the {0} has a column and a value for all lines: leave one out", ROLES[role]);
    Invalid::new(Kind::UnknownHeader, detail)
}

/// Refuses a value for all lines of a role that the file has a column for.
pub fn has_column(role: usize, name: &str) -> Invalid {
    let role = ROLES[role];
    let detail = format!(
        "the file says the {role} of every line itself, in {name:?}: leave the option out that gives one for all"
    );
    Invalid::new(Kind::UnclearFile, detail)
}

/// The columns that are named by their numbers, from 0.
pub fn numbers(options: &Options) -> Vec<usize> {
    let numbers = options.columns.0.iter().flatten().filter_map(|column| match column {
        Column::Number(number) => Some(number - 1),
        _ => None,
    });
    numbers.collect()
}

/// Which column of a rating a header's field names.
pub fn column(field: &str) -> Option<usize> {
    let letters = field.chars().filter(|c| !['_', '-', ' '].contains(c));
    let name = letters.collect::<String>().to_lowercase();
    let find = |name: &str| COLUMNS.iter().position(|(own, others)| *own == name || others.contains(&name));
    // A rating's own id is no score.
    let of_id = || name.strip_suffix("id").and_then(find).filter(|role| *role < SCORE);
    find(&name).or_else(of_id)
}
