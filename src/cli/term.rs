//! Terminal output: numbers, times, bars, tables. Colour is used only in a terminal that wants it, and never
//! carries meaning alone.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::Time;

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

/// 1,234,567
pub fn number(n: u64) -> String {
    HumanCount(n).to_string()
}

/// `1 post`, `2,000 posts`
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// A mean with two decimals, or a dash.
pub fn mean(mean: Option<f64>) -> String {
    mean.map_or("–".into(), |mean| format!("{mean:.2}"))
}

/// `0.06 s`, `2 min 11 s`, `3 h 4 min`, `12 d 3 h`
pub fn span_ms(ms: u64) -> String {
    let seconds = ms / 1_000;
    let two = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {part}"),
    };
    match seconds {
        0..10 if !ms.is_multiple_of(1_000) => format!("{:.2} s", ms as f64 / 1_000.0),
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// `14:35:00`, in UTC
pub fn clock(time: Time) -> String {
    time.to_utc().format("%H:%M:%S").to_string()
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
    fn numbers_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(4_812_330), "4,812,330");
        assert_eq!(counted(1, "post", "posts"), "1 post");
        assert_eq!(mean(None), "–");
    }

    #[test]
    fn spans_use_two_units_at_most() {
        for (ms, text) in [
            (60, "0.06 s"),
            (5_000, "5 s"),
            (12_345, "12 s"),
            (131_000, "2 min 11 s"),
            (300_000, "5 min"),
            (11_040_000, "3 h 4 min"),
            (1_047_600_000, "12 d 3 h"),
        ] {
            assert_eq!(span_ms(ms), text);
        }
    }

    #[test]
    fn bars_and_lines_fill_their_width() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(f64::NAN, 3), "");
        assert_eq!(sparkline([None, Some(0.0), Some(5.0)], 0.0, 5.0), " ▁█");
    }
}
