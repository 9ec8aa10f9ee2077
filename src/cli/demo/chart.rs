//! A chart in a terminal: the raw mean and the published one over time, with arrivals below. The two lines differ in their
//! strokes; colour only helps.

use crate::model::Time;

use super::term;

/// Columns of the plot.
pub const COLUMNS: usize = 68;
/// Rows of the plot, and the means at its edges.
const ROWS: usize = 16;
const TOP: f64 = 4.5;
const BOTTOM: f64 = 1.5;

/// What a column shows.
#[derive(Clone, Copy, Default)]
struct Column {
    raw: Option<f64>,
    published: Option<f64>,
    arrivals: u64,
}

/// The strokes of a line: level, upright, and where it turns: from the left down, from above to the right, from the left up,
/// from below to the right.
struct Strokes {
    level: char,
    upright: char,
    turns: [char; 4],
}

const PUBLISHED: Strokes = Strokes { level: '━', upright: '┃', turns: ['┓', '┗', '┛', '┏'] };
const RAW: Strokes = Strokes { level: '┄', upright: '┊', turns: ['╮', '╰', '╯', '╭'] };

/// A chart that fills from the left.
pub struct Chart {
    begin: Time,
    end: Time,
    columns: [Column; COLUMNS],
    has_color: bool,
}

impl Chart {
    /// An empty chart from `begin` to `end`.
    pub fn new(begin: Time, end: Time, has_color: bool) -> Self {
        Self { begin, end, columns: [Column::default(); COLUMNS], has_color }
    }

    /// The column of a moment; a moment at a column's edge belongs to the one before it.
    fn column(&self, at: Time) -> usize {
        let share = (at.ms() - 1 - self.begin.ms()) as f64 / (self.end.ms() - self.begin.ms()) as f64;
        ((share * COLUMNS as f64) as usize).min(COLUMNS - 1)
    }

    /// Adds what is known at a moment, and how many ratings have arrived since the last one. What was before the chart's
    /// beginning is not shown.
    pub fn add(&mut self, at: Time, raw: Option<f64>, published: Option<f64>, arrivals: u64) {
        if at <= self.begin {
            return;
        }
        let column = &mut self.columns[self.column(at)];
        *column = Column { raw, published, arrivals: column.arrivals + arrivals };
    }

    /// The chart as lines, with a mark below `marked`, the moment that is named there.
    pub fn lines(&self, marked: (Time, &str)) -> Vec<String> {
        let mut cells = [[(' ', false); COLUMNS]; ROWS];
        draw(&mut cells, self.columns.map(|column| column.raw), &RAW, false);
        draw(&mut cells, self.columns.map(|column| column.published), &PUBLISHED, true);
        let label = |row: usize| match row % 5 {
            0 => format!("{:.1}", TOP - (TOP - BOTTOM) * row as f64 / (ROWS - 1) as f64),
            _ => String::new(),
        };
        let mut lines: Vec<String> = (0..ROWS)
            .map(|row| format!("  {:>3} │{}", label(row), self.paint(&cells[row])).trim_end().to_owned())
            .collect();
        let most = self.columns.iter().map(|column| column.arrivals).max().unwrap_or(0);
        let arrivals = self.columns.iter().map(|column| Some(column.arrivals as f64).filter(|n| *n > 0.0));
        lines.push(format!("      └{}", "─".repeat(COLUMNS)));
        lines.push(format!("       {}", term::sparkline(arrivals, 0.0, most as f64)).trim_end().to_owned());
        let (at, name) = marked;
        lines.push(format!("       {}▲ {name}", " ".repeat(self.column(at.plus_ms(1)))));
        lines
    }

    /// A row; the published line in colour, the raw one dimmed.
    fn paint(&self, row: &[(char, bool); COLUMNS]) -> String {
        let mut text = String::new();
        for &(stroke, is_published) in row {
            match (stroke, self.has_color) {
                (' ', _) | (_, false) => text.push(stroke),
                (_, true) => {
                    let style = if is_published { "1;36" } else { "2" };
                    text += &format!("\x1b[{style}m{stroke}\x1b[0m");
                }
            }
        }
        text
    }
}

/// The row of a mean.
fn row_of(mean: f64) -> usize {
    let share = (TOP - mean.clamp(BOTTOM, TOP)) / (TOP - BOTTOM);
    (share * (ROWS - 1) as f64).round() as usize
}

/// Draws a line of strokes: level within a row, upright from one row to another.
fn draw(
    cells: &mut [[(char, bool); COLUMNS]; ROWS],
    means: [Option<f64>; COLUMNS],
    strokes: &Strokes,
    is_published: bool,
) {
    let mut before: Option<usize> = None;
    for (x, mean) in means.into_iter().enumerate() {
        let Some(row) = mean.map(row_of) else { continue };
        let from = before.replace(row).unwrap_or(row);
        let [left_down, above_right, left_up, below_right] = strokes.turns;
        let (top, bottom) = (from.min(row), from.max(row));
        for (y, cells) in cells.iter_mut().enumerate().take(bottom + 1).skip(top) {
            let stroke = match (y == from, y == row) {
                (true, true) => strokes.level,
                (true, false) if from < row => left_down,
                (false, true) if from < row => above_right,
                (true, false) => left_up,
                (false, true) => below_right,
                (false, false) => strokes.upright,
            };
            cells[x] = (stroke, is_published);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_drawn_and_the_bomb_is_marked() {
        let (begin, end) = (Time::from_ms(0), Time::from_ms(68_000));
        let mut chart = Chart::new(begin, end, false);
        for second in 1..=68 {
            let raw = if second <= 60 { 4.0 } else { 2.0 };
            chart.add(Time::from_ms(second * 1_000), Some(raw), Some(4.0), 1);
        }
        let lines = chart.lines((Time::from_ms(60_000), "bomb"));
        let text = lines.join("\n");
        assert_eq!(text.matches('━').count(), COLUMNS, "{text}");
        // The first column of the fall hides below the published line, but for its way down.
        assert!(text.contains('┊') && text.contains('╰') && text.contains("┄┄┄┄┄┄┄"), "{text}");
        assert_eq!(lines.last().unwrap().find('▲'), Some(7 + 60), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
    }
}
