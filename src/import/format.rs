//! What the lines of a file are: JSON, or columns. Which of two ids is the post is never guessed: what the first line and the
//! options leave open is refused, with the commands that say it.

use std::borrow::Cow;

use serde_json::Value;

use super::clock::parse_time;
use super::fields::{Place, delimiter_of, fields, leaves_of, place_of, text_of, texts};
use super::known::{self, Unclear};
use super::options::{Column, Options, POST, ROLES, SCORE, TIME, USER};
use super::resolve::{COLUMNS, Resolved, column, given_twice, has_column, numbers};
use super::rules::{Rules, Values};
use super::{guess, json_line};
use crate::entry::Entry;
use crate::error::{Invalid, Kind};
use crate::model::Time;

/// MovieLens writes it, without a header: user, post, score, time.
const MOVIELENS_DELIMITER: &str = "::";
/// Lines that a proposal is made from.
const ROWS_MAX: usize = 200;
/// Fields of a line of JSON as the API takes it.
const OWN_FIELDS: [&str; 4] = ["post_id", "user_id", "score", "at"];

/// How a file is read.
#[derive(Debug)]
pub struct Format {
    form: Form,
    rules: Rules,
    /// What people call such a file, if it is known.
    pub known: Option<&'static str>,
    /// Where each role is found, for people; none where a value was given for all.
    pub sources: [Option<String>; ROLES.len()],
    /// Columns that no rating has.
    pub ignored: Vec<String>,
}

#[derive(Debug)]
enum Form {
    /// As `POST /api/ratings` takes them.
    Own,
    Json([Option<Place>; ROLES.len()]),
    Table {
        delimiter: String,
        width: usize,
        places: [Option<usize>; ROLES.len()],
    },
}

/// What the beginning of a file says.
pub struct First {
    pub format: Format,
    /// The first line is a rating itself.
    pub is_rating: bool,
}

/// A line that was read.
pub enum Parsed {
    /// A rating or withdrawal, and whether its score was rounded.
    Entry(Entry, bool),
    /// It says that there is no rating.
    Nothing,
}

impl Format {
    /// Reads the first line; `rest` is the beginning of what follows.
    pub fn of(first: &[u8], rest: &[u8], options: &Options, now: Time) -> Result<First, Invalid> {
        let has_json = first.starts_with(b"{") && options.delimiter.is_none() && !options.has_no_header;
        if has_json {
            return Self::of_json(first, rest, options, now);
        }
        if first.starts_with(b"[") && options.delimiter.is_none() {
            let detail = "the file is one JSON array: write one object a line, as jq -c '.[]' does";
            return Err(Invalid::new(Kind::UnknownHeader, detail));
        }
        Self::of_table(first, rest, options, now)
    }

    fn of_table(first: &[u8], rest: &[u8], options: &Options, now: Time) -> Result<First, Invalid> {
        let delimiter = match &options.delimiter {
            Some(delimiter) => delimiter.clone(),
            None => delimiter_of(first)?.to_owned(),
        };
        let header = texts(&fields(first, &delimiter)?);
        let is_value = |field: &String| field.parse::<f64>().is_ok() || parse_time(field).is_ok();
        let is_rating = options.has_no_header || header.iter().any(is_value);
        let mut rows: Vec<Vec<String>> = is_rating.then(|| header.clone()).into_iter().collect();
        let lines = rest.split(|byte| *byte == b'\n').take(ROWS_MAX);
        rows.extend(
            lines
                .filter_map(|line| Some(texts(&fields(line, &delimiter).ok()?)))
                .filter(|row| row.len() == header.len()),
        );
        let shown = header.join(&delimiter);
        let names = (!is_rating).then_some(&header[..]);
        let mut resolved = Resolved::new(names.is_some());
        if is_rating && options.columns == Default::default() && delimiter == MOVIELENS_DELIMITER {
            resolved.places = [Some(1), Some(0), Some(2), Some(3)];
            resolved.known = Some(&known::MOVIELENS);
        } else if is_rating && !options.has_no_header {
            let wanted = COLUMNS.map(|(name, _)| name).join(&delimiter);
            let mut open = Unclear { reasons: Vec::new(), remedies: vec![options.clone()] };
            open.remedies[0].has_no_header = true;
            let missing: Vec<usize> = (0..ROLES.len())
                .filter(|role| options.columns.0[*role].is_none() && !options.is_given(*role))
                .collect();
            guess::propose(&mut open, &missing, None, &rows, &numbers(options), now);
            return Err(Invalid::new(
                Kind::UnknownHeader,
                format!(
                    "the first line {shown:?} is a rating, and no header says which column is the post and which is \
                     the user: put a line like {wanted:?} before it, its names in the order of the columns, or say so{}{}",
                    if open.remedies.len() > 1 { ", with the one of these that is true" } else { "" },
                    open.commands()
                ),
            ));
        } else {
            resolved.find(options, names, header.len(), &shown)?;
        }
        let sample = resolved.places[TIME].and_then(|place| rows.first()?.get(place)).map(String::as_str);
        resolved.check(options, sample, names, &rows, &shown, &delimiter, now)?;
        let Resolved { places, known, .. } = resolved;
        let has_half_stars = known.is_some_and(|known| known.has_half_stars);
        let ignored = (0..header.len()).filter(|place| !places.contains(&Some(*place)));
        let name = |place: usize| {
            names.map_or_else(|| format!("column {}", place + 1), |names| names[place].clone())
        };
        let format = Self {
            rules: Rules::of(options, has_half_stars),
            known: known.map(|known| known.name),
            sources: places.map(|place| place.map(name)),
            ignored: if names.is_some() { ignored.map(name).collect() } else { Vec::new() },
            form: Form::Table { delimiter, width: header.len(), places },
        };
        Ok(First { format, is_rating })
    }

    fn of_json(first: &[u8], rest: &[u8], options: &Options, now: Time) -> Result<First, Invalid> {
        let own = |rules| Self {
            form: Form::Own,
            rules,
            known: None,
            sources: OWN_FIELDS.map(|name| Some(name.to_owned())),
            ignored: Vec::new(),
        };
        let object = serde_json::from_slice::<Value>(first).ok();
        let names: Vec<String> = match &object {
            Some(Value::Object(fields)) => fields.keys().cloned().collect(),
            _ => Vec::new(),
        };
        if options.are_plain() && names.iter().all(|name| OWN_FIELDS.contains(&name.as_str())) {
            return Ok(First { format: own(Rules::of(options, false)), is_rating: true });
        }
        let Some(object) = object else {
            let detail =
                "the first line is no JSON object that can be read, so nothing says how the others are";
            return Err(Invalid::new(Kind::UnknownHeader, detail));
        };
        let has = |name: &str| match name.strip_prefix('/') {
            Some(_) => object.pointer(name).is_some(),
            None => names.iter().any(|own| own == name),
        };
        // An object within is no value, whatever it is called.
        let is_value = |name: &&String| {
            object.get(name.as_str()).is_some_and(|value| !value.is_object() && !value.is_array())
        };
        let plain = || names.iter().filter(is_value);
        let known = known::find(has);
        let mut places = [const { None }; ROLES.len()];
        for (role, place) in places.iter_mut().enumerate() {
            *place = match (&options.columns.0[role], options.is_given(role)) {
                (Some(_), true) => return Err(given_twice(role)),
                (None, true) => match known.and_then(|known| known.columns[role]) {
                    Some(name) => return Err(has_column(role, name)),
                    None => match plain().find(|name| column(name) == Some(role)) {
                        Some(name) => return Err(has_column(role, name)),
                        None => None,
                    },
                },
                (Some(Column::Pointer(pointer)), _) => Some(Place::Pointer(pointer.clone())),
                (Some(Column::Name(name)), _) => Some(Place::Name(name.clone())),
                (Some(Column::Number(number)), _) => {
                    let detail =
                        format!("a line of JSON has no column {number}: name its field, or a pointer");
                    return Err(Invalid::new(Kind::UnknownHeader, detail));
                }
                (None, false) => known.and_then(|known| known.columns[role]).map(place_of).or_else(|| {
                    let mut named = plain().filter(|name| column(name) == Some(role));
                    let one = named.next().filter(|_| named.next().is_none());
                    one.map(|name| Place::Name(name.clone()))
                }),
            };
        }
        let mut resolved = Resolved::new(true);
        resolved.known = known;
        let found = |role: usize| places[role].is_some() || options.is_given(role);
        resolved.missing = (0..ROLES.len()).filter(|role| !found(*role)).collect();
        let leaves = leaves_of(&object);
        let lines = std::iter::once(first).chain(rest.split(|byte| *byte == b'\n').take(ROWS_MAX));
        let value = |line: &Value, leaf: &String| {
            place_of(leaf).of(line).and_then(text_of).unwrap_or_default().into_owned()
        };
        let rows = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        let rows: Vec<Vec<String>> =
            rows.map(|line| leaves.iter().map(|leaf| value(&line, leaf)).collect()).collect();
        let taken = |place: &Option<Place>| {
            let name = place.as_ref()?.to_string();
            leaves.iter().position(|own| *own == name)
        };
        resolved.places = [POST, USER, SCORE, TIME].map(|role| taken(&places[role]));
        let time = places[TIME].as_ref().and_then(|place| place.of(&object)).and_then(text_of);
        resolved.check(options, time.as_deref(), Some(&leaves), &rows, &names.join(","), ",", now)?;
        let ignored = names.iter().filter(|name| !places.iter().flatten().any(|place| place.top() == **name));
        let format = Self {
            rules: Rules::of(options, known.is_some_and(|known| known.has_half_stars)),
            known: known.map(|known| known.name),
            ignored: ignored.cloned().collect(),
            sources: [POST, USER, SCORE, TIME].map(|role| places[role].as_ref().map(Place::to_string)),
            form: Form::Json(places),
        };
        Ok(First { format, is_rating: true })
    }

    /// Whether a field of this line goes on in the next ones, in a file with texts in it. What stands there would be read
    /// as ratings.
    pub fn has_open_text(&self, line: &[u8]) -> bool {
        let Form::Table { width, .. } = &self.form else { return false };
        *width > ROLES.len() && line.iter().filter(|byte| **byte == b'"').count() % 2 == 1
    }

    /// Reads a line.
    pub fn parse(&self, line: &[u8], now: Time) -> Result<Parsed, Invalid> {
        let parsed = match &self.form {
            Form::Own => {
                let entry = json_line::parse(line, now).map_err(|misfit| misfit.invalid)?;
                return Ok(Parsed::Entry(entry, false));
            }
            Form::Json(places) => {
                let bad = |e: serde_json::Error| Invalid::new(Kind::BadLine, format!("line is no JSON: {e}"));
                let object: Value = serde_json::from_slice(line).map_err(bad)?;
                let value = |place: &Option<Place>| {
                    let text = place.as_ref().and_then(|place| place.of(&object)).and_then(text_of)?;
                    Some(match text {
                        Cow::Borrowed(text) => Cow::Borrowed(text.trim().as_bytes()),
                        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                    })
                };
                let [post, user, score, time] = places;
                self.rules.entry(&[value(post), value(user), value(score), value(time)], now)?
            }
            Form::Table { delimiter, width, places } => {
                let record = fields(line, delimiter)?;
                if record.len() != *width {
                    let detail = format!("{} fields instead of {width}", record.len());
                    return Err(Invalid::new(Kind::BadLine, detail));
                }
                let values: Values<'_> =
                    places.map(|place| place.and_then(|place| record.get(place)).map(Cow::Borrowed));
                self.rules.entry(&values, now)?
            }
        };
        Ok(parsed.map_or(Parsed::Nothing, |(entry, is_rounded)| Parsed::Entry(entry, is_rounded)))
    }

    /// Where each role is found, as `--columns` takes it.
    pub fn columns(&self) -> String {
        let found = ROLES.iter().zip(&self.sources);
        let found = found.filter_map(|(role, source)| Some(format!("{role}={}", source.as_ref()?)));
        found.collect::<Vec<_>>().join(",")
    }

    /// What kind of text the lines are, for people.
    pub fn form(&self) -> String {
        match &self.form {
            Form::Own => "JSON lines, as for POST /api/ratings".to_owned(),
            Form::Json(_) => "JSON lines".to_owned(),
            Form::Table { delimiter, width, .. } => {
                let between = match delimiter.as_str() {
                    "\t" => "tabs",
                    "," => "commas",
                    ";" => "semicolons",
                    other => other,
                };
                format!("{width} columns with {between} between them")
            }
        }
    }

    /// Whether it has the lines that the API takes: then nothing in it is unclear.
    pub fn is_own(&self) -> bool {
        matches!(self.form, Form::Own)
    }

    /// The rules of the values.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}
