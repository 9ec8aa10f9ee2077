//! Pictures as SVG: numbers in, text out. Colours are classes, which the report's style gives for light, dark and paper.

use std::fmt::Write as _;

use crate::model::{DAY_MS, HOUR_MS, Time};

/// The width of every picture.
pub const WIDTH: f64 = 960.0;
/// Room at the left for marks, and at the right for the names of lines.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 176.0;
/// Characters of a name beside a line.
const NAME_CHARS: usize = 24;
/// Two names are so far apart.
const NAME_GAP: f64 = 16.0;

/// A line with a name.
pub struct Line<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Its class: `raw`, `rival`, `own` or `best`.
    pub class: &'a str,
    /// Its points; a gap where nothing is known.
    pub points: Vec<(f64, Option<f64>)>,
}

/// A text that markup may hold.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A name that is not longer than its room.
pub fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Where values are drawn.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from).max(f64::MIN_POSITIVE);
        self.low + share.clamp(0.0, 1.0) * (self.high - self.low)
    }
}

/// Round steps that cut a range into about `count` parts.
fn steps(from: f64, to: f64, count: f64) -> (f64, f64, f64) {
    let raw = ((to - from) / count).max(1e-9);
    let power = 10_f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= raw * 0.999);
    let step = step.unwrap_or(raw);
    ((from / step).floor() * step, (to / step).ceil() * step, step)
}

fn label(value: f64, step: f64) -> String {
    let digits = if step >= 1.0 {
        0
    } else if step * 10.0 % 1.0 < 1e-9 || step >= 0.1 && step != 0.25 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

/// Courses over time above bars of arrivals; a mark where the event begins. Bars are (end, honest, of attacks).
pub fn courses(
    lines: &[Line<'_>],
    (from, to): (Time, Time),
    bars: &[(Time, u64, u64)],
    event: Option<(Time, &str)>,
) -> String {
    const HEIGHT: f64 = 470.0;
    const TOP: f64 = 30.0;
    const BOTTOM: f64 = 330.0;
    const BARS_TOP: f64 = 360.0;
    const BARS_BOTTOM: f64 = 436.0;
    let values = || lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
    let (lowest, highest) = (values().fold(5.0, f64::min), values().fold(0.0, f64::max));
    let pad = ((highest - lowest) * 0.06).max(0.05);
    let (low, high, step) = steps((lowest - pad).max(0.0), (highest + pad).min(5.0), 5.0);
    let y = Scale { from: low, to: high, low: BOTTOM, high: TOP };
    let x = Scale { from: from.ms() as f64, to: to.ms() as f64, low: LEFT, high: WIDTH - RIGHT };
    let mut svg =
        open(HEIGHT, "The published mean over time, under every method, and the ratings that arrived");
    let count = ((high - low) / step).round() as i64;
    for i in 0..=count {
        let value = low + step * i as f64;
        grid_line(&mut svg, y.at(value), &label(value, step));
    }
    axis_name(&mut svg, TOP - 14.0, "mean, in stars");
    for (at, text) in time_marks(from, to) {
        let place = x.at(at.ms() as f64);
        let _ = write!(
            svg,
            r#"<line class="tick" x1="{place:.1}" x2="{place:.1}" y1="{BARS_BOTTOM}" y2="{:.1}"/><text class="mark" x="{place:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
            BARS_BOTTOM + 5.0,
            BARS_BOTTOM + 20.0
        );
    }
    if let Some((at, text)) = event {
        let place = x.at(at.ms() as f64);
        let anchor = if place > WIDTH - RIGHT - 220.0 { "end" } else { "start" };
        let side = if anchor == "end" { -6.0 } else { 6.0 };
        let _ = write!(
            svg,
            r#"<line class="event" x1="{place:.1}" x2="{place:.1}" y1="{:.1}" y2="{BARS_BOTTOM}"/><text class="event-name" x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
            TOP - 18.0,
            place + side,
            TOP - 10.0,
            escaped(text)
        );
    }
    for line in lines {
        path(&mut svg, line, x, y);
    }
    names(&mut svg, lines, y, TOP, BOTTOM);
    bars_of(&mut svg, bars, x, from, (BARS_TOP, BARS_BOTTOM));
    svg + "</svg>"
}

fn bars_of(svg: &mut String, bars: &[(Time, u64, u64)], x: Scale, from: Time, (top, bottom): (f64, f64)) {
    let most = bars.iter().map(|(_, honest, attack)| honest + attack).max().unwrap_or(0).max(1);
    let y = Scale { from: 0.0, to: most as f64, low: bottom, high: top };
    let mut begin = from;
    for (end, honest, attack) in bars {
        let (left, right) = (x.at(begin.ms() as f64), x.at(end.ms() as f64));
        let width = (right - left - 1.0).max(1.0);
        let (all, own) = (y.at((honest + attack) as f64), y.at(*honest as f64));
        if *honest > 0 {
            let _ = write!(
                svg,
                r#"<rect class="bar" x="{left:.1}" y="{own:.1}" width="{width:.1}" height="{:.1}"/>"#,
                bottom - own
            );
        }
        if *attack > 0 {
            let _ = write!(
                svg,
                r#"<rect class="bar-attack" x="{left:.1}" y="{all:.1}" width="{width:.1}" height="{:.1}"/>"#,
                own - all
            );
        }
        begin = *end;
    }
    let _ = write!(
        svg,
        r#"<line class="axis" x1="{LEFT}" x2="{:.1}" y1="{bottom}" y2="{bottom}"/><text class="mark" x="{:.1}" y="{:.1}" text-anchor="end">{}</text><text class="name" x="{:.1}" y="{:.1}">ratings that arrived</text>"#,
        WIDTH - RIGHT,
        LEFT - 8.0,
        top + 4.0,
        thousands(most),
        WIDTH - RIGHT + 8.0,
        bottom - 4.0
    );
}

/// How far each method was moved, at a few moments after the beginning.
pub fn moves(lines: &[Line<'_>], marks: &[&str]) -> String {
    const HEIGHT: f64 = 340.0;
    const TOP: f64 = 30.0;
    const BOTTOM: f64 = 296.0;
    let highest =
        lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value)).fold(0.05, f64::max);
    let (_, high, step) = steps(0.0, highest * 1.04, 5.0);
    let y = Scale { from: 0.0, to: high, low: BOTTOM, high: TOP };
    let x =
        Scale { from: 0.0, to: (marks.len() - 1).max(1) as f64, low: LEFT + 28.0, high: WIDTH - RIGHT - 8.0 };
    let mut svg = open(HEIGHT, "How far the published mean was moved, at some moments after the beginning");
    for i in 0..=(high / step).round() as i64 {
        let value = step * i as f64;
        grid_line(&mut svg, y.at(value), &label(value, step));
    }
    axis_name(&mut svg, TOP - 14.0, "moved by, in stars");
    for (i, mark) in marks.iter().enumerate() {
        let place = x.at(i as f64);
        let _ = write!(
            svg,
            r#"<text class="mark" x="{place:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            BOTTOM + 22.0,
            escaped(mark)
        );
    }
    for line in lines {
        path(&mut svg, line, x, y);
        for (at, value) in &line.points {
            if let Some(value) = value {
                let _ = write!(
                    svg,
                    r#"<circle class="dot {}" cx="{:.1}" cy="{:.1}" r="4"><title>{}: {value:.3}</title></circle>"#,
                    line.class,
                    x.at(*at),
                    y.at(*value),
                    escaped(line.name)
                );
            }
        }
    }
    names(&mut svg, lines, y, TOP, BOTTOM);
    svg + "</svg>"
}

/// A row of dots.
pub struct Row {
    /// What it is about, in two parts.
    pub name: (String, String),
    /// The dots: class, name, number; none is beyond the end.
    pub dots: Vec<(String, String, Option<u64>)>,
}

/// Numbers of accounts, on a scale of powers of ten up to `most`.
pub fn accounts(rows: &[Row], most: u64) -> String {
    const TOP: f64 = 44.0;
    const STEP: f64 = 34.0;
    const NAMES: f64 = 230.0;
    let height = TOP + STEP * rows.len() as f64 + 18.0;
    let x = Scale { from: 0.0, to: (most as f64).log10() + 0.25, low: NAMES, high: WIDTH - 40.0 };
    let mut svg = open(height, "How many accounts it takes to move a post");
    for power in 0..=(most as f64).log10().floor() as i32 {
        let place = x.at(f64::from(power));
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{place:.1}" x2="{place:.1}" y1="{:.1}" y2="{:.1}"/><text class="mark" x="{place:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            TOP - 14.0,
            height - 18.0,
            TOP - 22.0,
            thousands(10_u64.pow(power.unsigned_abs()))
        );
    }
    for (i, row) in rows.iter().enumerate() {
        let place = TOP + STEP * (i as f64 + 0.5);
        let _ = write!(
            svg,
            r#"<text class="row" x="0" y="{:.1}">{}</text><text class="row-more" x="96" y="{:.1}">{}</text>"#,
            place + 4.0,
            escaped(&row.name.0),
            place + 4.0,
            escaped(&row.name.1)
        );
        let places: Vec<f64> = row
            .dots
            .iter()
            .map(|(.., number)| x.at((number.unwrap_or(most * 2) as f64).max(1.0).log10()))
            .collect();
        let (left, right) =
            (places.iter().copied().fold(f64::MAX, f64::min), places.iter().copied().fold(0.0, f64::max));
        let _ = write!(
            svg,
            r#"<line class="range" x1="{left:.1}" x2="{right:.1}" y1="{place:.1}" y2="{place:.1}"/>"#
        );
        for ((class, name, number), at) in row.dots.iter().zip(&places) {
            let said = number.map_or_else(|| format!("more than {}", thousands(most)), thousands);
            // The exact mean's is a wide ring, which others may lie in.
            let radius = if class == "raw" { 8.5 } else { 5.5 };
            let hollow = if number.is_none() { " hollow" } else { "" };
            let _ = write!(
                svg,
                r#"<circle class="dot {class}{hollow}" cx="{at:.1}" cy="{place:.1}" r="{radius}"><title>{}: {said} accounts</title></circle>"#,
                escaped(name)
            );
        }
    }
    svg + "</svg>"
}

fn open(height: f64, title: &str) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{0}"><title>{0}</title>"#,
        escaped(title)
    )
}

fn grid_line(svg: &mut String, y: f64, text: &str) {
    let _ = write!(
        svg,
        r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="mark" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
        WIDTH - RIGHT,
        LEFT - 8.0,
        y + 4.0
    );
}

fn axis_name(svg: &mut String, y: f64, text: &str) {
    let _ = write!(svg, r#"<text class="mark" x="0" y="{y:.1}">{text}</text>"#);
}

fn path(svg: &mut String, line: &Line<'_>, x: Scale, y: Scale) {
    let mut d = String::new();
    let mut is_begun = false;
    for (at, value) in &line.points {
        match value {
            Some(value) => {
                let _ = write!(d, "{}{:.1} {:.1}", if is_begun { 'L' } else { 'M' }, x.at(*at), y.at(*value));
                is_begun = true;
            }
            None => is_begun = false,
        }
    }
    let _ = write!(
        svg,
        r#"<path class="line {}" d="{d}"><title>{}</title></path>"#,
        line.class,
        escaped(line.name)
    );
}

/// The names at the ends of lines, pushed apart where they would overlap.
fn names(svg: &mut String, lines: &[Line<'_>], y: Scale, top: f64, bottom: f64) {
    let mut ends: Vec<(f64, f64, &Line<'_>)> = lines
        .iter()
        .filter_map(|line| {
            let last = line.points.iter().rev().find_map(|(_, value)| *value)?;
            Some((y.at(last), last, line))
        })
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut places: Vec<f64> = ends.iter().map(|(place, ..)| *place).collect();
    for i in 1..places.len() {
        places[i] = places[i].max(places[i - 1] + NAME_GAP);
    }
    // Those at the bottom push the others up again.
    let over = places.last().map_or(0.0, |last| (last - bottom).max(0.0));
    if over > 0.0 {
        let mut limit = bottom;
        for place in places.iter_mut().rev() {
            *place = place.min(limit);
            limit = *place - NAME_GAP;
        }
    }
    let edge = WIDTH - RIGHT;
    for ((end, value, line), place) in ends.iter().zip(&places) {
        let place = place.max(top - 8.0);
        let _ = write!(
            svg,
            r#"<path class="leader" d="M{:.1} {end:.1}L{:.1} {place:.1}"/><text class="name {}" x="{:.1}" y="{:.1}">{value:.2} {}</text>"#,
            edge + 1.0,
            edge + 12.0,
            line.class,
            edge + 15.0,
            place + 4.0,
            escaped(&shortened(line.name))
        );
    }
}

/// Five to nine moments to mark, and how each is written.
fn time_marks(from: Time, to: Time) -> Vec<(Time, String)> {
    let days = (to.ms() - from.ms()) / DAY_MS;
    let (step_days, format) = match days {
        0..=2 => (0, "%H:%M"),
        3..=16 => (2, "%-d %b"),
        17..=60 => (7, "%-d %b"),
        61..=130 => (14, "%-d %b"),
        131..=400 => (61, "%b %Y"),
        401..=1_500 => (183, "%b %Y"),
        _ => (365, "%Y"),
    };
    let step = if step_days == 0 { 6 * HOUR_MS } else { step_days * DAY_MS };
    let few = ((to.ms() - from.ms()) / step / 9).max(1);
    let step = step * few;
    let mut at = Time::from_ms((from.ms().div_euclid(step) + 1) * step);
    let mut marks = Vec::new();
    while at <= to {
        marks.push((at, at.to_utc().format(format).to_string()));
        at = at.plus_ms(step);
    }
    marks
}

/// `1,234,567`
pub fn thousands(number: impl std::borrow::Borrow<u64>) -> String {
    let digits = number.borrow().to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_marks() {
        assert_eq!(steps(2.3, 4.2, 5.0), (2.0, 4.5, 0.5));
        assert_eq!(steps(0.0, 0.13, 5.0).2, 0.05);
        assert_eq!(
            (label(0.05, 0.05), label(4.0, 1.0), label(0.5, 0.5)),
            ("0.05".into(), "4".into(), "0.5".into())
        );
        assert_eq!((thousands(1_234_567), thousands(999)), ("1,234,567".to_owned(), "999".to_owned()));
    }

    #[test]
    fn a_text_of_a_user_is_no_markup() {
        let line = Line { name: "<script>&", class: "raw", points: vec![(0.0, Some(1.0)), (1.0, None)] };
        let svg = moves(&[line], &["a", "\"b\""]);
        assert!(
            !svg.contains("<script") && svg.contains("&lt;script&gt;&amp;") && svg.contains("&quot;b&quot;")
        );
    }
}
