//! What the first bytes of a text say that it is: UTF-8, which nothing says, or something else. Of a file, gzip,
//! zstd and UTF-16 are read.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::error::{Invalid, Kind, Result};

/// Bytes that tell.
const HEAD_BYTES: u64 = 6;
/// Bytes of UTF-16 decoded together.
const CHUNK_BYTES: u64 = 64 << 10;

/// What a text is when it is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Packed by gzip.
    Gzip,
    /// Packed by zstd.
    Zstd,
    /// UTF-16, as spreadsheets save it.
    Utf16 {
        /// The high byte of a unit comes first.
        is_big: bool,
    },
    /// Of no use here.
    Other(&'static str),
}

const LITTLE: Coding = Coding::Utf16 { is_big: false };
const BIG: Coding = Coding::Utf16 { is_big: true };
/// How each begins.
const BEGINNINGS: [(&[u8], Coding); 8] = [
    (b"\x1f\x8b", Coding::Gzip),
    (b"\xff\xfe", LITTLE),
    (b"\xfe\xff", BIG),
    (b"PK\x03\x04", Coding::Other("a zip archive or a spreadsheet")),
    (b"\x28\xb5\x2f\xfd", Coding::Zstd),
    (b"PAR1", Coding::Other("Parquet")),
    (b"\xfd7zXZ", Coding::Other("xz")),
    (b"BZh", Coding::Other("bzip2")),
];

impl Coding {
    /// What a text is that begins so; `None` for UTF-8.
    pub fn of(head: &[u8]) -> Option<Self> {
        let known = BEGINNINGS.iter().find(|(beginning, _)| head.starts_with(beginning));
        known.map(|(_, coding)| *coding).or(match head {
            // UTF-16 without a byte order mark: every other byte of Latin letters is zero.
            [(1..), 0, (1..), 0, ..] => Some(LITTLE),
            [0, (1..), 0, (1..), ..] => Some(BIG),
            _ => None,
        })
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
            Coding::Utf16 { .. } => "UTF-16",
            Coding::Other(name) => name,
        })
    }
}

/// A file's text as UTF-8.
///
/// # Errors
/// `Invalid` when it cannot be read, or its first bytes are those of something that is not read here.
pub fn as_utf8(input: Box<dyn Read>) -> Result<Box<dyn Read>> {
    let (mut coding, mut input) = look(input)?;
    // Once: a file may hold itself.
    match coding {
        Some(Coding::Gzip) => (coding, input) = look(Box::new(MultiGzDecoder::new(input)))?,
        Some(Coding::Zstd) => {
            (coding, input) = look(Box::new(Frames { input: Some(BufReader::new(input)), frame: None }))?
        }
        _ => {}
    }
    match coding {
        None => Ok(input),
        Some(Coding::Utf16 { is_big }) => {
            Ok(Box::new(Utf16 { input, is_big, bytes: Vec::new(), text: Cursor::default() }))
        }
        Some(other) => {
            let detail = format!(
                "the file begins like {other}: unpack it, or save it as CSV; only gzip and zstd are read, once"
            );
            Err(Invalid::new(Kind::UnreadableFile, detail).into())
        }
    }
}

/// What the input is, and all of it.
fn look(mut input: Box<dyn Read>) -> Result<(Option<Coding>, Box<dyn Read>)> {
    let mut head = Vec::new();
    let read = input.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|e| Invalid::new(Kind::UnreadableFile, format!("the file cannot be read: {e}")))?;
    Ok((Coding::of(&head), Box::new(Cursor::new(head).chain(input))))
}

/// The frames of a file packed by zstd, one after the other: programs that pack in pieces write several.
struct Frames {
    /// Between two frames.
    input: Option<BufReader<Box<dyn Read>>>,
    frame: Option<Box<Frame>>,
}

type Frame = StreamingDecoder<BufReader<Box<dyn Read>>, FrameDecoder>;

impl Read for Frames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let taken = frame.read(out)?;
                if taken > 0 || out.is_empty() {
                    return Ok(taken);
                }
                self.input = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut input) = self.input.take() else { return Ok(0) };
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let bad = |e| io::Error::new(io::ErrorKind::InvalidData, format!("it is not packed well: {e}"));
            self.frame = Some(Box::new(StreamingDecoder::new(input).map_err(bad)?));
        }
    }
}

/// UTF-16 as UTF-8. What is no character becomes U+FFFD, which no id holds, so its line is refused.
struct Utf16<R> {
    input: R,
    is_big: bool,
    /// Read, and not decoded yet.
    bytes: Vec<u8>,
    /// Decoded, and not taken yet.
    text: Cursor<Vec<u8>>,
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let taken = self.text.read(out)?;
            if taken > 0 || out.is_empty() {
                return Ok(taken);
            }
            let is_end = self.input.by_ref().take(CHUNK_BYTES).read_to_end(&mut self.bytes)? == 0;
            if is_end && self.bytes.is_empty() {
                return Ok(0);
            }
            self.decode(is_end);
        }
    }
}

impl<R> Utf16<R> {
    fn decode(&mut self, is_end: bool) {
        let unit = if self.is_big { u16::from_be_bytes } else { u16::from_le_bytes };
        let mut units: Vec<u16> = self.bytes.as_chunks().0.iter().map(|pair| unit(*pair)).collect();
        // The first half of a character waits for the second.
        if !is_end && units.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            units.pop();
        }
        let mut text = String::from_utf16_lossy(&units);
        self.bytes.drain(..2 * units.len());
        if is_end && !self.bytes.is_empty() {
            self.bytes.clear();
            text.push(char::REPLACEMENT_CHARACTER);
        }
        self.text = Cursor::new(text.into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(bytes: &[u8]) -> String {
        let mut text = String::new();
        as_utf8(Box::new(Cursor::new(bytes.to_vec()))).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn utf_16_is_read_in_both_orders_with_and_without_a_mark_and_packed() {
        // A character of two units lies on the edge of a chunk, with a mark or without.
        let text: String = (0..40_000).map(|i| if i % 3 == 0 { 'ß' } else { '🎬' }).collect();
        let text = format!("post,user\n{text}");
        for mark in ["", "\u{feff}"] {
            let text = format!("{mark}{text}");
            let units = || text.encode_utf16();
            let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
            for bytes in [&little, &big, &packed(&little), &packed(text.as_bytes())] {
                assert!(read(bytes) == text, "{:?}", &bytes[..8]);
            }
        }
        assert_eq!(read(b"a\0\nb\0"[..3].as_ref()), "a\0\n", "too short to tell");
        assert_eq!(read(b"a\0b\0\0\xd8c\0d"), "ab\u{fffd}c\u{fffd}");
    }

    #[test]
    fn gzip_is_read_in_several_pieces_and_refused_when_it_is_cut() {
        let both = [packed(b"one,"), packed(b"two")].concat();
        assert_eq!(read(&both), "one,two");
        let numbers: String = (0..100_000).map(|i| format!("{i},")).collect();
        let whole = packed(numbers.as_bytes());
        let mut cut = as_utf8(Box::new(Cursor::new(whole[..whole.len() / 2].to_vec()))).unwrap();
        assert!(cut.read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn other_files_are_refused_by_name() {
        for (bytes, name) in [
            (&b"PK\x03\x04rest"[..], "zip"),
            (b"BZh91AY", "bzip2"),
            (b"\xfd7zXZ\0", "xz"),
            (b"PAR1rest", "Parquet"),
            (&packed(&packed(b"a")), "gzip"),
        ] {
            let error = as_utf8(Box::new(Cursor::new(bytes.to_vec()))).err().unwrap().to_string();
            assert!(error.contains(name) && error.contains("unpack it"), "{error}");
        }
    }
}
