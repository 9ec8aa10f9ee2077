//! Bytes as they come, cut into lines. One that is too long is skipped without being kept.

/// The line that is being read.
#[derive(Debug)]
pub struct LineBuffer {
    bytes_max: usize,
    /// Of a line that is too long, one byte more than is allowed.
    text: Vec<u8>,
    /// The text is a line's: the next byte begins another.
    is_whole: bool,
    number: u64,
}

impl LineBuffer {
    /// For lines of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, text: Vec::new(), is_whole: false, number: 0 }
    }

    /// Takes bytes up to the next end of a line; returns how many, and whether the line is whole now.
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

    /// The input is at its end; returns whether there is a last line, which no newline has ended.
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

    /// The line, without white space around it; nothing when it is too long.
    pub fn text(&self) -> Option<&[u8]> {
        (self.text.len() <= self.bytes_max).then(|| self.text.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of `text` that comes in pieces of so many bytes.
    fn cut(text: &str, bytes: usize) -> Vec<(u64, Option<String>)> {
        let mut line = LineBuffer::new(5);
        let mut found = Vec::new();
        let told = |line: &LineBuffer| {
            let text = line.text().map(|text| String::from_utf8_lossy(text).into_owned());
            (line.number(), text)
        };
        for mut piece in text.as_bytes().chunks(bytes) {
            while !piece.is_empty() {
                let (taken, is_whole) = line.fill(piece);
                piece = &piece[taken..];
                if is_whole {
                    found.push(told(&line));
                }
            }
        }
        if line.end() {
            found.push(told(&line));
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = "one\r\n\n three\nfives\ntoo long\nlast";
        let expected =
            [(1, Some("one")), (2, Some("")), (3, None), (4, Some("fives")), (5, None), (6, Some("last"))];
        let expected: Vec<(u64, Option<String>)> =
            expected.map(|(number, text)| (number, text.map(str::to_owned))).into();
        for bytes in [1, 2, 3, 7, 100] {
            assert_eq!(cut(text, bytes), expected, "{bytes} at once");
        }
        assert_eq!(cut("", 1), []);
        assert_eq!(cut("\n", 1).len(), 1);
    }

    #[test]
    fn of_an_endless_line_nothing_is_kept() {
        let mut line = LineBuffer::new(5);
        for _ in 0..1_000 {
            line.fill(&[b'x'; 1_000]);
        }
        assert!(line.text.len() <= 6);
    }
}
