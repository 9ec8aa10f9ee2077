//! Figures as people read them, the same in a terminal and on a page.

use super::Time;

/// 1,234,567
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1,000");
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
}
