//! One rule for texts from outside: how long they may be, and what they must or must not hold.
//!
//! The same rule checks a text and describes it in the API: as a pattern of JSON Schema (ECMA 262). `\s` is not used
//! there, since it means one set of characters in ECMA 262 and another in Rust. Both sides read the lists below.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::error::{Invalid, Kind};

/// White space: the property `White_Space` of Unicode, which is what Rust means by it.
const WHITE_SPACE: [RangeInclusive<char>; 10] = [
    '\t'..='\r',
    ' '..=' ',
    '\u{85}'..='\u{85}',
    '\u{a0}'..='\u{a0}',
    '\u{1680}'..='\u{1680}',
    '\u{2000}'..='\u{200a}',
    '\u{2028}'..='\u{2029}',
    '\u{202f}'..='\u{202f}',
    '\u{205f}'..='\u{205f}',
    '\u{3000}'..='\u{3000}',
];
/// Control characters: the general category `Cc` of Unicode.
const CONTROL: [RangeInclusive<char>; 2] = ['\0'..='\u{1f}', '\u{7f}'..='\u{9f}'];
/// PostgreSQL cannot keep it in a text, and both databases take the same.
const NUL: [RangeInclusive<char>; 1] = ['\0'..='\0'];

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
        if *form != Form::Any && text.chars().all(is_white_space) {
            return refuse("is blank; it takes at least one character that is not white space".into());
        }
        if *form == Form::Line && (text.starts_with(is_white_space) || text.ends_with(is_white_space)) {
            return refuse("begins or ends with white space; leave it out".into());
        }
        let forbidden: &[RangeInclusive<char>] = if *form == Form::Line { &CONTROL } else { &NUL };
        match text.chars().find(|c| holds(forbidden, *c)) {
            Some(bad) => {
                refuse(format!("holds the control character U+{:04X}; leave it out", u32::from(bad)))
            }
            None => Ok(()),
        }
    }

    /// The rule, but for the lengths, as a pattern of JSON Schema.
    pub fn pattern(&self) -> String {
        let (any, line) = (class(&[&NUL]), class(&[&CONTROL]));
        let (visible, edge) = (class(&[&NUL, &WHITE_SPACE]), class(&[&CONTROL, &WHITE_SPACE]));
        match self.form {
            Form::Any => format!("^[^{any}]*$"),
            Form::Filled => format!("^[^{any}]*[^{visible}][^{any}]*$"),
            Form::Line => format!("^[^{edge}]([^{line}]*[^{edge}])?$"),
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

fn is_white_space(c: char) -> bool {
    holds(&WHITE_SPACE, c)
}

fn holds(ranges: &[RangeInclusive<char>], c: char) -> bool {
    ranges.iter().any(|range| range.contains(&c))
}

/// Ranges as what stands between the brackets of a class in a pattern. All lie below U+10000, so an escape of four
/// digits names each.
fn class(lists: &[&[RangeInclusive<char>]]) -> String {
    let mut text = String::new();
    for range in lists.iter().flat_map(|list| list.iter()) {
        let (first, last) = (u32::from(*range.start()), u32::from(*range.end()));
        let _ = write!(text, "\\u{first:04x}");
        if last > first {
            let _ = write!(text, "-\\u{last:04x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(form: Form) -> Text {
        Text { name: "text", chars_max: 3, form }
    }

    #[test]
    fn the_lists_are_those_of_unicode() {
        for c in '\0'..=char::MAX {
            assert_eq!(is_white_space(c), c.is_whitespace(), "{c:?}");
            assert_eq!(holds(&CONTROL, c), c.is_control(), "{c:?}");
        }
    }

    /// The characters that a class such as `[^\u0000\u0009-\u000d]` excludes, read from the text of a pattern.
    fn excluded(class: &str) -> Vec<RangeInclusive<u32>> {
        let inner = class.strip_prefix("[^").and_then(|rest| rest.strip_suffix(']')).unwrap();
        let code = |hex: &str| u32::from_str_radix(hex, 16).unwrap();
        let range = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            code(first)..=code(last)
        };
        let parts = inner.replace("-\\u", "-");
        parts.split("\\u").filter(|part| !part.is_empty()).map(range).collect()
    }

    #[test]
    fn the_check_and_the_pattern_agree_on_every_character() {
        let classes = |form: Form| -> Vec<_> {
            let pattern = rule(form).pattern();
            let starts = pattern.match_indices("[^").map(|(start, _)| start);
            starts.map(|start| excluded(pattern[start..].split_inclusive(']').next().unwrap())).collect()
        };
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
