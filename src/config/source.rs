//! The files: bounded reading, and places in them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Longest configuration file, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A place in a file: what a diagnostic points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Index into [`Sources`].
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl Place {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// As it is shown and was opened.
    pub path: PathBuf,
    /// Its text; empty where it could not be read.
    pub text: String,
}

impl Source {
    /// Line from 1, and the byte range of that line without its end.
    pub(super) fn line_at(&self, offset: usize) -> (usize, Range<usize>) {
        let bytes = self.text.as_bytes();
        let offset = offset.min(bytes.len());
        let number = bytes[..offset].iter().filter(|b| **b == b'\n').count() + 1;
        let start = bytes[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let end =
            bytes[offset..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| offset + i);
        let end = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
        (number, start..end)
    }

    /// The place within its first line, on character boundaries.
    pub(super) fn clip(&self, place: Place) -> Range<usize> {
        let (_, line) = self.line_at(place.start);
        let start = self.floor(place.start.min(line.end));
        let end = self.floor(place.end.clamp(start, line.end));
        start..end.max(start)
    }

    /// Line and column of a place, from 1, in characters.
    pub(super) fn position(&self, place: Place) -> Option<(usize, usize)> {
        let (line, range) = self.line_at(place.start);
        let start = self.clip(place).start.max(range.start);
        let column = self.text.get(range.start..start)?.chars().count() + 1;
        Some((line, column))
    }

    /// What stands there, first line only.
    pub(super) fn slice(&self, place: Place) -> &str {
        self.text.get(self.clip(place)).unwrap_or_default()
    }

    fn floor(&self, mut offset: usize) -> usize {
        offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The system refused.
    Io(io::Error),
    /// Longer than [`FILE_BYTES_MAX`].
    TooLong,
    /// A directory, device or pipe among the included files.
    NotAFile,
}

impl ReadError {
    /// What a diagnostic says of it.
    pub(super) fn message(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Io(error) => format!("cannot read `{path}`: {error}"),
            Self::TooLong => {
                format!("`{path}` is longer than 1 MiB, the most a configuration file may have")
            }
            Self::NotAFile => format!("`{path}` is not a regular file"),
        }
    }
}

/// The bytes of a file, not more than [`FILE_BYTES_MAX`]. The main file may be a pipe; an included
/// one is a regular file.
pub(super) fn read_bounded(path: &Path, included: bool) -> Result<Vec<u8>, ReadError> {
    if included && !fs::metadata(path).map_err(ReadError::Io)?.is_file() {
        return Err(ReadError::NotAFile);
    }
    let file = File::open(path).map_err(ReadError::Io)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() > FILE_BYTES_MAX { Err(ReadError::TooLong) } else { Ok(bytes) }
}

/// The text of a file's bytes, without a byte order mark; where they are not UTF-8, also the first
/// offset that is not.
pub(super) fn decode(mut bytes: Vec<u8>) -> (String, Option<usize>) {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(offset))
        }
    }
}
