//! How a setting is declared: name, type and range in one line.
//!
//! [`section!`] makes the struct of a section, and the list of its settings that the check and the documents read. A
//! setting without a range does not compile; one whose range cannot be written in numbers says in words what it takes.

use std::fmt;
use std::ops::RangeInclusive;

use crate::error::{Error, Result};

/// What a setting may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Range {
    /// A whole number between these, both included.
    Whole(RangeInclusive<u64>),
    /// A number between these, both included.
    Real(RangeInclusive<f64>),
    /// What these words say. The type checks it, or `checks.rs`.
    Words(&'static str),
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Whole(range) => write!(f, "{}..={}", range.start(), range.end()),
            Range::Real(range) => write!(f, "{}..={}", range.start(), range.end()),
            Range::Words(words) => f.write_str(words),
        }
    }
}

/// A setting with its value, where that is a whole number, and its range.
pub(super) struct Setting {
    /// The dotted name: `drain.batch_max`.
    pub name: String,
    /// The value in force of a [`Range::Whole`].
    pub value: Option<u64>,
    /// What it may be.
    pub range: Range,
}

impl Setting {
    /// A setting whose type, or a check of its own, takes care of its value.
    pub fn of(name: String, range: Range) -> Self {
        Self { name, value: None, range }
    }

    /// A whole number within `range`.
    pub fn whole(name: String, value: impl TryInto<u64>, range: RangeInclusive<u64>) -> Self {
        let value = value.try_into().unwrap_or(u64::MAX);
        Self { name, value: Some(value), range: Range::Whole(range) }
    }

    /// Passes when the value is within its range.
    pub fn check(&self) -> Result<()> {
        let Self { name, range, .. } = self;
        match (self.value, range) {
            (Some(value), Range::Whole(whole)) if !whole.contains(&value) => {
                Err(Error::Config(format!("{name} {value} is outside {range}")))
            }
            _ => Ok(()),
        }
    }
}

/// The struct of a section: `name: Type [range]`, where a range is two numbers (`1..=64`), words, or `section`.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty [$($range:tt)+],)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            /// The settings of this section, which is called `place` (`drain.`), in the order of the default file.
            pub(super) fn settings(&self, place: &str) -> Vec<$crate::config::declare::Setting> {
                let mut all = Vec::new();
                $(
                    let name = format!("{place}{}", stringify!($field));
                    $crate::config::declare::setting!(all, name, self.$field, $($range)+);
                )*
                all
            }
        }
    };
}

/// One line of a section.
macro_rules! setting {
    ($all:ident, $name:ident, $value:expr, section) => {
        $all.extend($value.settings(&format!("{}.", $name)))
    };
    ($all:ident, $name:ident, $value:expr, $words:literal) => {
        $all.push($crate::config::declare::Setting::of($name, $crate::config::declare::Range::Words($words)))
    };
    ($all:ident, $name:ident, $value:expr, $range:expr) => {
        $all.push($crate::config::declare::Setting::whole($name, $value, $range))
    };
}

pub(super) use {section, setting};
