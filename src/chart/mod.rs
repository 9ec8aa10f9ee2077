//! Charts as SVG: pure functions from figures to text.
//!
//! Colours come from the page, by classes; every mark has a place, a shape or a word besides its colour. Text is escaped
//! here. `post` draws a post's history, `spark` what fits in a line, `scale` says where a value lies.

pub mod post;
pub mod scale;
pub mod spark;

/// Text as XML takes it, in elements and in attributes.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What XML 1.0 does not take at all.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A place in a drawing: a tenth of a unit is enough, and short.
pub fn place(value: f64) -> String {
    let tenths = (value * 10.0).round() as i64;
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        _ => format!("{:.1}", tenths as f64 / 10.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped("<a href='x'>&\"\n"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot; ");
    }

    #[test]
    fn places_are_short() {
        assert_eq!([place(12.0), place(12.04), place(-0.26), place(7.55)], ["12", "12", "-0.3", "7.6"]);
    }
}
