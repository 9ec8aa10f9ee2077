//! How a setting is declared: name, type and range in one line. [`sections!`] makes the structs, and the list of
//! settings that the check and the documents read. A setting without a range does not compile.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A setting and what it may be.
pub(super) struct Setting {
    /// The dotted name: `drain.batch_max`.
    pub name: String,
    /// Two numbers, both included (`1..=64`), or words.
    pub range: String,
    /// The value in force, if it is a number outside of its range. All others are checked by their types, or in
    /// `checks.rs`.
    pub outside: Option<String>,
}

impl Setting {
    pub fn of(name: String, range: String) -> Self {
        Self { name, range, outside: None }
    }

    pub fn number<T: PartialOrd + Display>(name: String, value: T, range: RangeInclusive<T>) -> Self {
        let outside = (!range.contains(&value)).then(|| value.to_string());
        Self { outside, ..Self::of(name, format!("{}..={}", range.start(), range.end())) }
    }
}

/// The structs of the sections: `name: Type [range]`, where a range is two numbers (`1..=64`), words, or `section`.
macro_rules! sections {
    ($($name:ident { $($field:ident: $type:ty [$($range:tt)+],)* })*) => {$(
        #[doc = concat!("`", stringify!($name), "`: settings that `config/default.toml` explains.")]
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(#[doc = concat!("`", stringify!($field), "` of `config/default.toml`.")] pub $field: $type,)*
        }

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
    )*};
}

/// One line of a section.
macro_rules! setting {
    ($all:ident, $name:ident, $value:expr, section) => {
        $all.extend($value.settings(&format!("{}.", $name)))
    };
    ($all:ident, $name:ident, $value:expr, $words:literal) => {
        $all.push($crate::config::declare::Setting::of($name, $words.into()))
    };
    ($all:ident, $name:ident, $value:expr, $range:expr) => {
        $all.push($crate::config::declare::Setting::number($name, $value, $range))
    };
}

pub(super) use {sections, setting};
