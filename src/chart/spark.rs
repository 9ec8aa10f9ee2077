//! Drawings that fit in a line: a sparkline of means, bars of counts, a bar of a share.

use std::fmt::Write as _;

use super::scale::Scale;
use super::{escaped, place};

const WIDTH: f64 = 96.0;
const HEIGHT: f64 = 22.0;
/// Room for a line's own width.
const EDGE: f64 = 2.0;

/// Two lines on one scale: what is published, and the raw mean.
pub fn lines(published: &[Option<f64>], raw: &[Option<f64>], title: &str) -> String {
    let means = || published.iter().chain(raw).flatten().copied();
    let (low, high) = (means().fold(f64::MAX, f64::min), means().fold(f64::MIN, f64::max));
    // A small wobble is no cliff.
    let room = ((0.5 - (high - low)) / 2.0).max(0.0);
    let y = Scale { low: low - room, high: high + room, start: HEIGHT - EDGE, end: EDGE };
    let mut svg = open("class=\"spark\"", WIDTH, HEIGHT, title);
    for (class, line) in [("raw", raw), ("pub", published)] {
        let x = Scale { low: 0.0, high: line.len().saturating_sub(1) as f64, start: EDGE, end: WIDTH - EDGE };
        let _ =
            write!(svg, "<path class=\"{class}\" d=\"{}\"/>", path(line, |i| x.at(i as f64), |v| y.at(v)));
    }
    svg + "</svg>"
}

/// A bar for each count, the greatest as high as there is room; one that `is_bad` is crossed out at its foot.
pub fn bars(
    counts: &[f64],
    is_bad: impl Fn(usize) -> bool,
    (width, height): (f64, f64),
    title: &str,
) -> String {
    let most = counts.iter().copied().fold(0.0, f64::max);
    let slot = width / counts.len().max(1) as f64;
    let y = Scale { low: 0.0, high: most.max(f64::MIN_POSITIVE), start: 0.0, end: height - 1.0 };
    let mut svg = open("class=\"bars\" preserveAspectRatio=\"none\"", width, height, title);
    for (i, count) in counts.iter().enumerate() {
        let bad = is_bad(i);
        let tall = if bad {
            height - 1.0
        } else if *count > 0.0 {
            y.at(*count).max(1.0)
        } else {
            0.0
        };
        if tall > 0.0 {
            let (x, w) = (slot * i as f64, (slot - 1.0).max(slot * 0.6));
            let class = if bad { " class=\"bad\"" } else { "" };
            let _ = write!(
                svg,
                "<rect{class} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                place(x),
                place(height - 1.0 - tall),
                place(w),
                place(tall)
            );
        }
    }
    let _ = write!(svg, "<path class=\"foot\" d=\"M0 {0}H{1}\"/></svg>", place(height - 0.5), place(width));
    svg
}

/// A share (0 to 1) of a line's length.
pub fn share(share: f64, class: &str) -> String {
    let width = if share > 0.0 { (share.clamp(0.0, 1.0) * 100.0).max(0.5) } else { 0.0 };
    format!(
        "<svg class=\"share {class}\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"bed\" width=\"100\" height=\"8\"/><rect width=\"{}\" height=\"8\"/></svg>",
        place(width)
    )
}

fn open(attributes: &str, width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg {attributes} viewBox=\"0 0 {} {}\" role=\"img\"><title>{}</title>",
        place(width),
        place(height),
        escaped(title)
    )
}

/// A path through the values that there are.
pub(super) fn path(values: &[Option<f64>], x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
    let (mut path, mut is_down) = (String::new(), false);
    for (i, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let _ = write!(path, "{}{} {}", if is_down { 'L' } else { 'M' }, place(x(i)), place(y(*value)));
        }
        is_down = value.is_some();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_skips_what_is_missing_and_a_title_is_escaped() {
        let svg = lines(&[None, Some(3.0), Some(4.0)], &[Some(1.0), None, Some(1.0)], "<b>");
        assert!(svg.contains("&lt;b&gt;") && svg.matches('M').count() == 3, "{svg}");
        assert!(lines(&[], &[], "").ends_with("</svg>"));
    }

    #[test]
    fn every_count_that_there_is_can_be_seen() {
        let svg = bars(&[0.0, 1.0, 1_000_000.0], |i| i == 0, (30.0, 20.0), "counts");
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert!(svg.contains("class=\"bad\"") && svg.contains("height=\"1\""), "{svg}");
        assert!(share(f64::NAN, "s0").contains("width=\"0\""));
    }
}
