//! Terminal output: numbers, times, bars, tables. Colour is used only in a terminal that wants it, and never
//! carries meaning alone.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use crate::model::words::{clock, counted, mean, number, span_ms};
pub use comfy_table::CellAlignment;

/// Prints to standard output. A closed pipe (`damper show p | head`) is no error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Whether `stream` wants colour: it is a terminal and NO_COLOR is not set.
pub fn has_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `text` in yellow, for what needs attention.
pub fn attention(text: &str) -> String {
    if has_color(&std::io::stdout()) { format!("\x1b[33m{text}\x1b[0m") } else { text.to_owned() }
}

/// Makes untrusted text, such as a title, safe: a terminal must not obey it.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `share` (0 to 1) of `width` cells as a bar, in eighths of a cell.
pub fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// A line of values as eight heights between `low` and `high`; a missing value is a blank.
pub fn sparkline(values: impl IntoIterator<Item = Option<f64>>, low: f64, high: f64) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let range = if high > low { high - low } else { 1.0 };
    // A constant line lies in the middle.
    let low = if high > low { low } else { high - range / 2.0 };
    let height = |value: f64| HEIGHTS[(((value - low) / range).clamp(0.0, 1.0) * 7.0).round() as usize];
    values.into_iter().map(|value| value.map_or(' ', height)).collect()
}

/// A table without lines. The first column is left-aligned, and the others are aligned as given.
pub fn table<const N: usize>(
    header: [&str; N],
    others: CellAlignment,
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(others);
    }
    let lines = table.lines().map(|line| {
        let line = line.trim_end();
        format!("{}\n", line.strip_prefix(' ').unwrap_or(line))
    });
    lines.collect()
}

/// A progress bar on standard error, drawn only in a terminal, and cleared when it is dropped.
pub fn progress(verb: &'static str, template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━╸─"));
    bar.set_prefix(verb);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Counts entries.
pub const ENTRIES: &str = "{prefix}  {bar:32}  {human_pos} / {human_len}   {per_sec}   {eta} left";
/// Counts bytes of a file.
pub const BYTES: &str = "{prefix}  {bar:32}  {bytes} / {total_bytes}   {eta} left";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_fill_their_width() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(f64::NAN, 3), "");
        assert_eq!(sparkline([None, Some(0.0), Some(5.0)], 0.0, 5.0), " ▁█");
    }
}
