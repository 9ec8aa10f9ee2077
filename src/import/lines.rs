//! Cuts incoming bytes into lines. A line that is too long is skipped without being stored.

/// Begins a text that some programs save; it is no part of the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The line being read.
#[derive(Debug)]
pub struct LineBuffer {
    bytes_max: usize,
    /// The text so far; of a line that is too long, one byte more than allowed.
    text: Vec<u8>,
    /// The line is complete: the next byte begins another.
    is_whole: bool,
    number: u64,
}

impl LineBuffer {
    /// A buffer for lines of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, text: Vec::new(), is_whole: false, number: 0 }
    }

    /// Takes bytes up to the next end of a line. Returns how many, and whether the line is complete.
    pub fn fill(&mut self, bytes: &[u8]) -> (usize, bool) {
        if std::mem::take(&mut self.is_whole) {
            self.text.clear();
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let text = &bytes[..end.unwrap_or(bytes.len())];
        let room = (self.bytes_max + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(&text[..text.len().min(room)]);
        match end {
            Some(end) => (end + 1, self.finish()),
            None => (bytes.len(), false),
        }
    }

    /// Ends the input. Returns whether there is a last line without a newline.
    pub fn end(&mut self) -> bool {
        !self.is_whole && !self.text.is_empty() && self.finish()
    }

    fn finish(&mut self) -> bool {
        self.number += 1;
        self.is_whole = true;
        true
    }

    /// The line's number, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The line, without surrounding spaces and ends of lines, and empty if it has blanks alone; `None` when it is too long.
    pub fn text(&self) -> Option<&[u8]> {
        let text = trimmed(&self.text);
        let text = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.number == 1).map_or(text, trimmed);
        (self.text.len() <= self.bytes_max).then_some(text)
    }
}

/// A tab may be an empty field, but a line of blanks alone is empty.
fn trimmed(text: &[u8]) -> &[u8] {
    if text.trim_ascii().is_empty() {
        return &[];
    }
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\r' | b'\n');
    let begin = text.iter().position(is_text).unwrap_or(text.len());
    let end = text.iter().rposition(is_text).map_or(begin, |last| last + 1);
    &text[begin..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text`, which arrives in pieces of `bytes` bytes.
    fn cut(text: &str, bytes: usize) -> Vec<(u64, Option<String>)> {
        let mut line = LineBuffer::new(5);
        let mut found = Vec::new();
        let mut keep = |line: &LineBuffer| {
            let text = line.text().map(|text| String::from_utf8_lossy(text).into_owned());
            found.push((line.number(), text));
        };
        for mut piece in text.as_bytes().chunks(bytes) {
            while !piece.is_empty() {
                let (taken, is_whole) = line.fill(piece);
                piece = &piece[taken..];
                if is_whole {
                    keep(&line);
                }
            }
        }
        if line.end() {
            keep(&line);
        }
        found
    }

    #[test]
    fn lines_do_not_depend_on_the_pieces() {
        let text = "one\r\n\n three\nfives\ntoo long\nlast";
        let expected = [Some("one"), Some(""), None, Some("fives"), None, Some("last")];
        let expected: Vec<_> = (1..).zip(expected.map(|text| text.map(str::to_owned))).collect();
        for bytes in [1, 2, 3, 7, 100] {
            assert_eq!(cut(text, bytes), expected, "{bytes} at once");
        }
        assert_eq!(cut("\u{feff} a\n\u{feff}", 1), [(1, Some("a".into())), (2, Some("\u{feff}".into()))]);
        assert_eq!(cut("\ta\t\n \t\r\n", 1), [(1, Some("\ta\t".into())), (2, Some(String::new()))]);
        assert_eq!(cut("", 1), []);
        assert_eq!(cut("\n", 1).len(), 1);
    }

    #[test]
    fn an_endless_line_is_not_stored() {
        let mut line = LineBuffer::new(5);
        for _ in 0..1_000 {
            line.fill(&[b'x'; 1_000]);
        }
        assert!(line.text.len() <= 6);
    }
}
