//! One rule for texts from outside: how long they may be, and what they must or must not hold.
//!
//! The same rule checks a text and describes it in the API: as a pattern of JSON Schema (ECMA 262). `\s` is not used
//! there, since it means one set of characters in ECMA 262 and another in Rust: the pattern lists what Rust means.

use std::sync::LazyLock;

use crate::error::{Invalid, Kind};

static CONTROL: LazyLock<String> = LazyLock::new(|| class(char::is_control));
static SPACE: LazyLock<String> = LazyLock::new(|| class(char::is_whitespace));

/// What a text must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Anything, nothing included.
    Any,
    /// One character at least that is no white space.
    Filled,
    /// One line that can be seen: no control character, and no white space at either end.
    Line,
}

/// The rule of one kind of text. NUL is never taken.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// What messages call it.
    pub name: &'static str,
    /// Longest, in characters.
    pub chars_max: usize,
    /// What it must hold.
    pub form: Form,
}

impl Text {
    /// Shortest, in characters.
    pub const fn chars_min(&self) -> usize {
        match self.form {
            Form::Any => 0,
            Form::Filled | Form::Line => 1,
        }
    }

    /// Passes a text that keeps the rule.
    pub fn check(&self, text: &str) -> Result<(), Invalid> {
        let Self { name, chars_max, form } = self;
        let refuse = |detail: String| Err(Invalid::new(Kind::InvalidText, format!("{name} {detail}")));
        let chars = text.chars().count();
        if chars > *chars_max {
            return refuse(format!("has {chars} characters; at most {chars_max}"));
        }
        if *form != Form::Any && text.chars().all(char::is_whitespace) {
            return refuse("is blank; it takes at least one character that is not white space".into());
        }
        if *form == Form::Line && text.trim() != text {
            return refuse("begins or ends with white space; leave it out".into());
        }
        // PostgreSQL cannot keep NUL in a text, and both databases take the same.
        let is_forbidden = |c: &char| if *form == Form::Line { c.is_control() } else { *c == '\0' };
        match text.chars().find(is_forbidden) {
            Some(bad) => {
                refuse(format!("holds the control character U+{:04X}; leave it out", u32::from(bad)))
            }
            None => Ok(()),
        }
    }

    /// The rule, but for the lengths, as a pattern of JSON Schema.
    pub fn pattern(&self) -> String {
        let (nul, control, space) = ("\\u0000", &*CONTROL, &*SPACE);
        match self.form {
            Form::Any => format!("^[^{nul}]*$"),
            Form::Filled => format!("^[^{nul}]*[^{nul}{space}][^{nul}]*$"),
            Form::Line => format!("^[^{control}{space}]([^{control}]*[^{control}{space}])?$"),
        }
    }

    /// The rule in words.
    pub fn description(&self) -> String {
        let lengths = format!("{} to {} characters", self.chars_min(), self.chars_max);
        match self.form {
            Form::Any => format!("{lengths}, without NUL"),
            Form::Filled => format!("{lengths}, not only white space, without NUL"),
            Form::Line => {
                format!("{lengths}, without control characters, and without white space at either end")
            }
        }
    }
}

/// Characters as the inside of a class in a pattern: their ranges. All lie below U+10000, so an escape of four digits
/// names each.
fn class(holds: fn(char) -> bool) -> String {
    let codes: Vec<u32> = (0..0x1_0000).filter(|code| char::from_u32(*code).is_some_and(holds)).collect();
    let range = |range: &[u32]| match *range {
        [first, .., last] => format!("\\u{first:04x}-\\u{last:04x}"),
        _ => format!("\\u{:04x}", range[0]),
    };
    codes.chunk_by(|code, next| code + 1 == *next).map(range).collect()
}

/// A text that keeps a rule.
macro_rules! text {
    ($($(#[$doc:meta])* $name:ident: $label:literal, $chars_max:literal, $form:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The rule that `parse` checks.
            pub const RULE: $crate::model::text::Text = $crate::model::text::Text {
                name: $label,
                chars_max: $chars_max,
                form: $crate::model::text::Form::$form,
            };

            /// Takes a text that keeps the rule.
            pub fn parse(text: impl Into<String>) -> Result<Self, $crate::error::Invalid> {
                let text = text.into();
                Self::RULE.check(&text)?;
                Ok(Self(text))
            }

            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::error::Invalid;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(text)
            }
        }
    )*};
}

pub(crate) use text;

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;

    fn rule(form: Form) -> Text {
        Text { name: "text", chars_max: 3, form }
    }

    /// The characters that each class of a pattern excludes, as `[^\u0000\u0009-\u000d]` does.
    fn excluded(pattern: &str) -> Vec<Vec<RangeInclusive<u32>>> {
        let code = |hex: &str| u32::from_str_radix(hex, 16).unwrap();
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            code(first)..=code(last)
        };
        let pattern = pattern.replace("-\\u", "-");
        let classes = pattern.split("[^").skip(1).filter_map(|rest| rest.split(']').next());
        classes.map(|class| class.split("\\u").skip(1).map(range).collect()).collect()
    }

    #[test]
    fn the_check_and_the_pattern_agree_on_every_character() {
        let classes = |form: Form| excluded(&rule(form).pattern());
        let passes = |excluded: &[RangeInclusive<u32>], c: char| {
            !excluded.iter().any(|range| range.contains(&u32::from(c)))
        };
        let [any] = &classes(Form::Any)[..] else { panic!("one class") };
        let [around, visible, behind] = &classes(Form::Filled)[..] else { panic!("three classes") };
        let [first, middle, last] = &classes(Form::Line)[..] else { panic!("three classes") };
        assert!(any == around && around == behind && first == last);
        for c in '\0'..=char::MAX {
            let taken = |form, text: &str| rule(form).check(text).is_ok();
            let (alone, between) = (c.to_string(), format!("a{c}a"));
            assert_eq!(taken(Form::Any, &alone), passes(any, c), "{c:?}");
            assert_eq!(taken(Form::Filled, &alone), passes(visible, c), "{c:?}");
            assert_eq!(taken(Form::Filled, &between), passes(any, c), "{c:?}");
            assert_eq!(taken(Form::Line, &alone), passes(first, c), "{c:?}");
            assert_eq!(taken(Form::Line, &between), passes(middle, c), "{c:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (form, text, why) in [
            (Form::Any, "four", "text has 4 characters; at most 3"),
            (Form::Any, "a\0", "U+0000"),
            (Form::Filled, "", "text is blank"),
            (Form::Filled, "\u{85}", "text is blank"),
            (Form::Line, "a ", "begins or ends"),
            (Form::Line, "a\nb", "U+000A"),
        ] {
            let detail = rule(form).check(text).unwrap_err().detail;
            assert!(detail.contains(why), "{text:?}: {detail}");
        }
        assert!(rule(Form::Any).check("").is_ok() && rule(Form::Filled).check("\u{feff}").is_ok());
    }
}
