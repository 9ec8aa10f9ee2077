//! The chart of a post: the raw and the published mean over time, what arrived below them, stacked by score, what is
//! excluded, and where the published mean goes if nothing more arrives.
//!
//! It is drawn twice, for wide and for narrow screens, since text in a drawing that shrinks cannot be read.

use std::fmt::Write as _;

use super::scale::{Scale, mean_axis, time_marks};
use super::spark::path;
use super::{escaped, place};
use crate::model::words::number;
use crate::model::{Score, Time};

/// For which screens it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// From tablets on.
    Wide,
    /// Phones.
    Narrow,
}

/// A step of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its end, to which the means belong.
    pub to: Time,
    /// The exact mean.
    pub raw: Option<f64>,
    /// The published mean.
    pub published: Option<f64>,
    /// What arrived in it, by score.
    pub by_score: [u64; Score::COUNT],
    /// What arrived besides: held ratings, and edits.
    pub others: u64,
}

/// A stretch of time that is shaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Shade {
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// What it is.
    pub label: String,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PostChart {
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// The history in even steps.
    pub steps: Vec<Step>,
    /// Where the published mean goes, from `to` on, in even steps; empty when `to` is not now.
    pub ahead: Vec<Option<f64>>,
    /// The same without the ratings of the selection.
    pub ghost: Vec<Option<f64>>,
    /// How long `ahead` is, in words.
    pub ahead_words: &'static str,
    /// What is excluded.
    pub shades: Vec<Shade>,
    /// What is selected.
    pub selection: Option<(Time, Time)>,
}

/// The measures of one size.
struct Frame {
    name: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    /// Where the means end, and the arrivals begin and end.
    means_end: f64,
    arrivals_top: f64,
    arrivals_end: f64,
    marks: usize,
}

const WIDE: Frame = Frame {
    name: "wide",
    width: 860.0,
    height: 400.0,
    left: 38.0,
    right: 92.0,
    top: 22.0,
    means_end: 258.0,
    arrivals_top: 284.0,
    arrivals_end: 374.0,
    marks: 8,
};
const NARROW: Frame = Frame {
    name: "narrow",
    width: 400.0,
    height: 340.0,
    left: 30.0,
    right: 92.0,
    top: 20.0,
    means_end: 212.0,
    arrivals_top: 236.0,
    arrivals_end: 314.0,
    marks: 4,
};
/// The part of the width that the future gets.
const AHEAD_PART: f64 = 0.2;
/// Labels at the right are at least this far apart.
const LABEL_GAP: f64 = 14.0;
/// A shade that is narrower has no words in it.
const WORDS_WIDTH: f64 = 64.0;

impl Step {
    /// What arrived in it.
    pub fn all(&self) -> u64 {
        self.by_score.iter().sum::<u64>() + self.others
    }
}

impl PostChart {
    /// The drawing for one size.
    pub fn draw(&self, size: Size) -> String {
        let frame = if size == Size::Wide { &WIDE } else { &NARROW };
        let plot_end = frame.width - frame.right;
        let has_ahead = self.ahead.iter().any(Option::is_some);
        let now_x = if has_ahead { plot_end - (plot_end - frame.left) * AHEAD_PART } else { plot_end };
        let times =
            Scale { low: self.from.ms() as f64, high: self.to.ms() as f64, start: frame.left, end: now_x };
        let means = self.steps.iter().flat_map(|step| [step.raw, step.published]);
        let means = means.chain(self.ahead.iter().copied()).chain(self.ghost.iter().copied()).flatten();
        let (low, high, marks) = mean_axis(means);
        let y = Scale { low, high, start: frame.means_end, end: frame.top };
        let mut svg = self.open(frame, (frame.left, now_x));
        for mark in marks {
            let at = place(y.at(mark.at));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{} {at}H{}\"/><text class=\"end\" x=\"{}\" y=\"{at}\" dy=\".32em\">{}</text>",
                place(frame.left),
                place(plot_end),
                place(frame.left - 6.0),
                mark.label
            );
        }
        self.draw_times(&mut svg, frame, &times);
        self.draw_shades(&mut svg, frame, &times);
        self.draw_arrivals(&mut svg, frame, &times);
        self.draw_means(&mut svg, frame, (&times, &y), (now_x, plot_end));
        let (top, end) = (place(frame.top), place(frame.arrivals_end - frame.top));
        let _ = write!(
            svg,
            "<path class=\"cross\" d=\"\"/><rect class=\"hit\" x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{end}\"/></svg>",
            place(frame.left),
            place(now_x - frame.left)
        );
        svg
    }

    fn open(&self, frame: &Frame, (x0, x1): (f64, f64)) -> String {
        let Frame { name, width, height, .. } = frame;
        let last = self.steps.iter().rev().find_map(|step| step.published.zip(step.raw));
        let title = last.map_or("No ratings yet".into(), |(published, raw)| {
            format!("Published {published:.2} and raw {raw:.2} at the end; the table below has all figures")
        });
        format!(
            "<svg class=\"chart {name}\" viewBox=\"0 0 {width} {height}\" role=\"img\" data-x0=\"{}\" data-x1=\"{}\" \
             data-from=\"{}\" data-to=\"{}\"><title>{title}</title><defs><pattern id=\"hatch-{name}\" width=\"6\" height=\"6\" \
             patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V6\"/></pattern></defs>",
            place(x0),
            place(x1),
            self.from.ms(),
            self.to.ms()
        )
    }

    fn draw_times(&self, svg: &mut String, frame: &Frame, times: &Scale) {
        let (marks, is_clock) = time_marks((self.from, self.to), frame.marks);
        for mark in marks {
            let x = times.at(mark.at);
            // The name of a moment at the edge would leave the drawing, or meet another one.
            if x > times.end - 18.0 && times.end < frame.width - frame.right || x < frame.left + 4.0 {
                continue;
            }
            let clock = if is_clock { format!(" data-clock=\"{}\"", mark.at) } else { String::new() };
            let _ = write!(
                svg,
                "<path class=\"tick\" d=\"M{0} {1}V{2}\"/><text class=\"mid\" x=\"{0}\" y=\"{3}\"{clock}>{4}</text>",
                place(x),
                place(frame.arrivals_end),
                place(frame.arrivals_end + 4.0),
                place(frame.arrivals_end + 17.0),
                mark.label
            );
        }
    }

    fn draw_shades(&self, svg: &mut String, frame: &Frame, times: &Scale) {
        let selection = self.selection.map(|(from, to)| (from, to, "selection", String::new()));
        let shades = self.shades.iter().map(|it| (it.from, it.to, "shade", it.label.clone()));
        for (from, to, class, label) in shades.chain(selection) {
            if to < self.from || from > self.to {
                continue;
            }
            let (x0, x1) = (times.at(from.ms() as f64), times.at(to.ms() as f64));
            let width = (x1 - x0).max(2.0);
            let fill = if class == "shade" {
                format!(" fill=\"url(#hatch-{})\"", frame.name)
            } else {
                String::new()
            };
            let _ = write!(
                svg,
                "<rect class=\"{class}\"{fill} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                place(x0),
                place(frame.top),
                place(width),
                place(frame.arrivals_end - frame.top),
                escaped(&label)
            );
            if class == "shade" && width > WORDS_WIDTH {
                let _ = write!(
                    svg,
                    "<text class=\"note\" x=\"{}\" y=\"{}\">excluded</text>",
                    place(x0 + 4.0),
                    place(frame.top + 12.0)
                );
            }
        }
    }

    fn draw_arrivals(&self, svg: &mut String, frame: &Frame, times: &Scale) {
        let most = self.steps.iter().map(Step::all).max().unwrap_or(0);
        let tall = frame.arrivals_end - frame.arrivals_top;
        let _ = write!(
            svg,
            "<path class=\"foot\" d=\"M{} {1}H{2}\"/><text class=\"note\" x=\"{3}\" y=\"{4}\">arrivals{5}</text>",
            place(frame.left),
            place(frame.arrivals_end),
            place(times.end),
            place(frame.left),
            place(frame.arrivals_top - 6.0),
            if most > 0 { format!(", up to {} a step", number(most)) } else { String::new() }
        );
        if most == 0 {
            return;
        }
        let y =
            Scale { low: 0.0, high: most as f64, start: frame.arrivals_end, end: frame.arrivals_end - tall };
        let slot = (times.end - times.start) / self.steps.len().max(1) as f64;
        let mut paths: [String; Score::COUNT + 1] = Default::default();
        for (i, step) in self.steps.iter().enumerate() {
            let mut below = 0;
            for (part, count) in
                step.by_score.iter().chain([&step.others]).enumerate().filter(|(_, n)| **n > 0)
            {
                let (foot, head) = (y.at(below as f64), y.at((below + count) as f64));
                below += count;
                let (x, width) = (times.start + slot * i as f64, (slot - 0.8).max(slot * 0.7));
                let _ = write!(
                    paths[part],
                    "M{} {}h{}V{}h-{2}z",
                    place(x),
                    place(foot),
                    place(width),
                    place(head.min(foot - 0.4))
                );
            }
        }
        for (part, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let class = if part < Score::COUNT { format!("s{part}") } else { "others".into() };
            let _ = write!(svg, "<path class=\"arrived {class}\" d=\"{path}\"/>");
        }
    }

    fn draw_means(
        &self,
        svg: &mut String,
        frame: &Frame,
        (times, y): (&Scale, &Scale),
        (now_x, end_x): (f64, f64),
    ) {
        let x = |i: usize| times.at(self.steps[i].to.ms() as f64);
        let raw: Vec<_> = self.steps.iter().map(|step| step.raw).collect();
        let published: Vec<_> = self.steps.iter().map(|step| step.published).collect();
        let mut labels = Vec::new();
        let has_ahead = now_x < end_x;
        if has_ahead {
            let _ = write!(
                svg,
                "<path class=\"now\" d=\"M{} {}V{}\"/><text class=\"note mid\" x=\"{}\" y=\"{}\">{}</text>",
                place(now_x),
                place(frame.top - 6.0),
                place(frame.arrivals_end),
                place((now_x + end_x) / 2.0),
                place(frame.top - 8.0),
                self.ahead_words
            );
        }
        let count = self.ahead.len().max(2) - 1;
        let ahead_x = |i: usize| now_x + (end_x - now_x) * i as f64 / count as f64;
        let last_raw = raw.iter().rev().flatten().next().copied();
        if let Some(last) = last_raw {
            if has_ahead {
                let at = place(y.at(last));
                let _ = write!(svg, "<path class=\"raw\" d=\"M{} {at}H{}\"/>", place(now_x), place(end_x));
            }
            labels.push((y.at(last), "raw", format!("raw {last:.2}")));
        }
        let lines = [("raw", path(&raw, x, |v| y.at(v))), ("pub", path(&published, x, |v| y.at(v)))];
        for (class, line) in lines {
            let _ = write!(svg, "<path class=\"{class}\" d=\"{line}\"/>");
        }
        for (class, line) in [("ahead", &self.ahead), ("ghost", &self.ghost)] {
            if line.iter().any(Option::is_some) {
                let _ = write!(svg, "<path class=\"{class}\" d=\"{}\"/>", path(line, ahead_x, |v| y.at(v)));
            }
        }
        if let Some(now) = self.ghost.first().copied().flatten() {
            let from = published.iter().rev().flatten().next().copied().unwrap_or(now);
            let _ = write!(
                svg,
                "<path class=\"ghost\" d=\"M{0} {1}V{2}\"/><circle class=\"ghost\" cx=\"{0}\" cy=\"{2}\" r=\"3.5\"/>",
                place(now_x),
                place(y.at(from)),
                place(y.at(now))
            );
            labels.push((y.at(now), "ghost", format!("without {now:.2}")));
        }
        let end = if has_ahead { self.ahead.last() } else { published.last() };
        if let Some(end) = end.copied().flatten() {
            let words = if has_ahead { "in 30 d" } else { "publ." };
            labels.push((y.at(end), "pub", format!("{words} {end:.2}")));
        }
        // A post with one entry has no line yet.
        if let [Step { published: Some(mean), .. }] = self.steps[..] {
            let _ = write!(
                svg,
                "<circle class=\"pub\" cx=\"{}\" cy=\"{}\" r=\"3\"/>",
                place(now_x),
                place(y.at(mean))
            );
        }
        for (at, class, text) in apart(labels, frame) {
            let _ = write!(
                svg,
                "<text class=\"name {class}\" x=\"{}\" y=\"{}\" dy=\".32em\">{text}</text>",
                place(end_x + 6.0),
                place(at)
            );
        }
    }
}

/// Labels in order of their heights, moved so that none lies on another.
fn apart(mut labels: Vec<(f64, &'static str, String)>, frame: &Frame) -> Vec<(f64, &'static str, String)> {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut least = frame.top;
    for label in &mut labels {
        label.0 = label.0.max(least);
        least = label.0 + LABEL_GAP;
    }
    let mut most = frame.means_end;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(most);
        most = label.0 - LABEL_GAP;
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HOUR_MS;

    fn chart() -> PostChart {
        let from = Time::from_ms(1_700_000_000_000);
        let step = |i: i64| Step {
            to: from.plus_ms(i * HOUR_MS),
            raw: Some(4.0 - i as f64 * 0.1),
            published: Some(4.0 - i as f64 * 0.01),
            by_score: [i as u64, 0, 0, 0, 0, 1],
            others: 0,
        };
        PostChart {
            from,
            to: from.plus_ms(10 * HOUR_MS),
            steps: (1..=10).map(step).collect(),
            ahead: vec![Some(3.9), Some(3.4), Some(3.1)],
            ghost: vec![Some(4.0), Some(4.0), Some(4.0)],
            ahead_words: "next 30 days",
            shades: vec![Shade { from, to: from.plus_ms(8 * HOUR_MS), label: "<script>".into() }],
            selection: Some((from, from.plus_ms(HOUR_MS))),
        }
    }

    #[test]
    fn a_chart_shows_every_series_and_escapes_reasons() {
        for size in [Size::Wide, Size::Narrow] {
            let svg = chart().draw(size);
            for class in
                ["\"raw\"", "\"pub\"", "ahead", "ghost", "shade", "selection", "arrived s0", "arrived s5"]
            {
                assert!(svg.contains(class), "{class}");
            }
            assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script"), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn a_chart_of_nothing_is_still_one() {
        let svg =
            PostChart { steps: Vec::new(), ahead: Vec::new(), ghost: Vec::new(), ..chart() }.draw(Size::Wide);
        assert!(svg.contains("No ratings yet") && svg.ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn labels_do_not_lie_on_each_other() {
        let at = |y: f64| (y, "raw", String::new());
        let moved = apart(vec![at(250.0), at(251.0), at(258.0), at(30.0)], &WIDE);
        assert!(moved.windows(2).all(|pair| pair[1].0 - pair[0].0 >= LABEL_GAP - 1e-9), "{moved:?}");
        assert!(moved.iter().all(|label| label.0 <= WIDE.means_end && label.0 >= WIDE.top));
    }
}
