//! How single values look on pages. What templates call takes values and references alike.

use std::fmt;

use askama::filters::HtmlSafe;

use crate::model::words;
use crate::model::{PostId, Time};
use crate::smoothing::Published;

/// A value or a reference to one: what templates bind is one or the other.
pub trait Given<T> {
    fn given(&self) -> T;
}

impl<T: Copy> Given<T> for T {
    fn given(&self) -> T {
        *self
    }
}

impl<T: Copy> Given<T> for &T {
    fn given(&self) -> T {
        **self
    }
}

impl<T: Copy> Given<T> for &&T {
    fn given(&self) -> T {
        ***self
    }
}

/// A moment: UTC in the markup, in the viewer's zone where a script runs.
pub struct Stamp(pub Time);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.to_utc();
        let seconds = at.format("%Y-%m-%dT%H:%M:%SZ");
        write!(f, "<time datetime=\"{seconds}\">{}</time>", at.format("%-d %b %Y, %H:%M UTC"))
    }
}

/// Digits and our own words only.
impl HtmlSafe for Stamp {}

/// A moment, as templates show it.
pub fn stamp(at: impl Given<Time>) -> Stamp {
    Stamp(at.given())
}

/// 1,234,567
pub fn number(n: impl Given<u64>) -> String {
    words::number(n.given())
}

/// `1 post`, `2,000 posts`
pub fn counted(n: impl Given<u64>, one: &str, many: &str) -> String {
    words::counted(n.given(), one, many)
}

/// A mean with two decimals, or a dash.
pub fn mean(mean: impl Given<Option<f64>>) -> String {
    words::mean(mean.given())
}

/// A span in two units at most.
pub fn span_ms(ms: impl Given<u64>) -> String {
    words::span_ms(ms.given())
}

/// How long ago a moment is: `6 h`, `2 min 11 s`.
pub fn ago(at: impl Given<Time>, now: impl Given<Time>) -> String {
    words::span_ms((now.given().ms() - at.given().ms()).max(0).unsigned_abs())
}

/// How long it is until a moment.
pub fn until(at: impl Given<Time>, now: impl Given<Time>) -> String {
    ago(now, at)
}

/// The path of a post's page.
pub fn post_path(post: &PostId) -> String {
    format!("/posts/{}", post.as_path_segment())
}

/// A post's id as the value of a query.
pub fn in_query(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// How far what is published is from the raw mean: `−1.65`, `+0.03`.
pub fn shift(published: impl Given<Published>) -> String {
    let published = published.given();
    match published.raw_average.zip(published.average) {
        Some((raw, average)) => signed(raw - average),
        None => "–".into(),
    }
}

/// A difference with its sign.
pub fn signed(difference: f64) -> String {
    let sign = if difference <= -0.005 {
        "−"
    } else if difference >= 0.005 {
        "+"
    } else {
        "±"
    };
    format!("{sign}{:.2}", difference.abs())
}

/// A share in whole percent; a little is not nothing.
pub fn percent(part: u64, whole: u64) -> String {
    match (part, whole) {
        (_, 0) => "–".into(),
        (0, _) => "0 %".into(),
        _ => match part as f64 * 100.0 / whole as f64 {
            share if share < 1.0 => "< 1 %".into(),
            share => format!("{share:.0} %"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_people_write_them() {
        assert_eq!([signed(-1.654), signed(0.03), signed(0.001)], ["−1.65", "+0.03", "±0.00"]);
        assert_eq!(
            [percent(1, 1_000), percent(1, 2), percent(0, 5), percent(0, 0)],
            ["< 1 %", "50 %", "0 %", "–"]
        );
        assert_eq!(in_query("a|b+c=d é"), "a%7Cb%2Bc%3Dd%20%C3%A9");
        let stamp = Stamp(Time::from_ms(1_412_424_000_007)).to_string();
        assert!(
            stamp.contains("datetime=\"2014-10-04T12:00:00Z\"") && stamp.contains(">4 Oct 2014, 12:00 UTC<")
        );
    }
}
