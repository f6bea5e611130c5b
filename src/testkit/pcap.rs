//! Capture files: the classic pcap format (draft-ietf-opsawg-pcap), Ethernet only.
//!
//! Reads both byte orders, microseconds and nanoseconds; writes nanoseconds.

use std::io::{self, Read, Write};

/// The longest record that is read or written, in bytes: libpcap's own bound.
pub const MAX_RECORD: u32 = 262_144;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;

/// Why a capture file cannot be read or written. Offsets are in bytes from the file's start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PcapError {
    #[error("not a pcap file: it starts with {0:02x?}")]
    Magic([u8; 4]),
    #[error("pcap version {0}.{1} at offset 4; only 2.4 is known")]
    Version(u16, u16),
    #[error("link type {0} at offset 20; only 1 (Ethernet) is known")]
    LinkType(u32),
    #[error("the file ends inside the {part} at offset {offset}")]
    Truncated { part: &'static str, offset: u64 },
    #[error("the record at offset {offset} has {len} bytes; {MAX_RECORD} at most are allowed")]
    Length { offset: u64, len: u32 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Since 1970, in nanoseconds.
    pub timestamp_ns: u64,
    /// Bytes that the frame had on the wire; more than `bytes` where the capture cut it short.
    pub orig_len: u32,
    /// The frame, as far as it was captured.
    pub bytes: Vec<u8>,
}

/// Reads a capture file, record by record; ends at its end or behind the first error.
#[derive(Debug)]
pub struct Capture<R> {
    reader: R,
    offset: u64,
    big_endian: bool,
    nanoseconds: bool,
    ended: bool,
}

impl<R: Read> Capture<R> {
    /// Reads the file's header. The reader should be buffered.
    pub fn new(mut reader: R) -> Result<Self, PcapError> {
        let mut header = [0; 24];
        if fill(&mut reader, &mut header)? < header.len() {
            let (part, offset) = ("file header", 0);
            return Err(PcapError::Truncated { part, offset });
        }
        let magic = [header[0], header[1], header[2], header[3]];
        let (big_endian, nanoseconds) = match (u32::from_be_bytes(magic), u32::from_le_bytes(magic))
        {
            (MICROSECONDS, _) => (true, false),
            (NANOSECONDS, _) => (true, true),
            (_, MICROSECONDS) => (false, false),
            (_, NANOSECONDS) => (false, true),
            _ => return Err(PcapError::Magic(magic)),
        };
        // Each version is a half of the word; which half depends on the byte order.
        let [major, minor] = match (word(&header, 4, big_endian), big_endian) {
            (version, true) => [(version >> 16) as u16, version as u16],
            (version, false) => [version as u16, (version >> 16) as u16],
        };
        if (major, minor) != (2, 4) {
            return Err(PcapError::Version(major, minor));
        }
        // The upper bits say whether frames end in an FCS, and how long it is.
        match word(&header, 20, big_endian) & 0xffff {
            ETHERNET => Ok(Self { reader, offset: 24, big_endian, nanoseconds, ended: false }),
            other => Err(PcapError::LinkType(other)),
        }
    }

    fn record(&mut self) -> Result<Option<Record>, PcapError> {
        let offset = self.offset;
        let mut header = [0; 16];
        match fill(&mut self.reader, &mut header)? {
            0 => return Ok(None),
            16 => {}
            _ => {
                let part = "record header";
                return Err(PcapError::Truncated { part, offset });
            }
        }
        let field = |at| word(&header, at, self.big_endian);
        let (seconds, fraction, len, orig_len) = (field(0), field(4), field(8), field(12));
        if len > MAX_RECORD {
            return Err(PcapError::Length { offset, len });
        }
        let mut bytes = vec![0; len as usize];
        if fill(&mut self.reader, &mut bytes)? < bytes.len() {
            let part = "record";
            return Err(PcapError::Truncated { part, offset });
        }
        self.offset += 16 + u64::from(len);
        let scale = if self.nanoseconds { 1 } else { 1_000 };
        Ok(Some(Record {
            timestamp_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * scale,
            orig_len,
            bytes,
        }))
    }
}

impl<R: Read> Iterator for Capture<R> {
    type Item = Result<Record, PcapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.record().transpose();
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}

/// Writes a capture file: little-endian, nanoseconds, Ethernet.
#[derive(Debug)]
pub struct Writer<W> {
    writer: W,
    offset: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the file's header. The writer should be buffered.
    pub fn new(mut writer: W) -> Result<Self, PcapError> {
        let words = [NANOSECONDS, 0x0004_0002, 0, 0, MAX_RECORD, ETHERNET];
        writer.write_all(words.map(u32::to_le_bytes).as_flattened())?;
        Ok(Self { writer, offset: 24 })
    }

    /// Writes a whole frame, captured `timestamp_ns` nanoseconds after 1970. Seconds beyond 32
    /// bits (the year 2106) wrap.
    pub fn write(&mut self, timestamp_ns: u64, bytes: &[u8]) -> Result<(), PcapError> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let offset = self.offset;
        if len > MAX_RECORD {
            return Err(PcapError::Length { offset, len });
        }
        let seconds = (timestamp_ns / 1_000_000_000) as u32;
        let fraction = (timestamp_ns % 1_000_000_000) as u32;
        let words = [seconds, fraction, len, len];
        self.writer.write_all(words.map(u32::to_le_bytes).as_flattened())?;
        self.writer.write_all(bytes)?;
        self.offset += 16 + u64::from(len);
        Ok(())
    }

    /// Flushes, and returns what was written to.
    pub fn finish(mut self) -> Result<W, PcapError> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

/// Fills `buffer` as far as the reader goes; returns how far.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The 32-bit field at `at`, which must be inside `header`.
fn word<const N: usize>(header: &[u8; N], at: usize, big_endian: bool) -> u32 {
    let bytes = [0, 1, 2, 3].map(|i| header[at + i]);
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two records in the given byte order.
    fn file(magic: u32, link_type: u32, swap: fn(u32) -> [u8; 4]) -> Vec<u8> {
        let version = if swap(1) == 1u32.to_be_bytes() { 0x0002_0004 } else { 0x0004_0002 };
        let mut file: Vec<u8> = [magic, version, 0, 0, 65_535, link_type].map(swap).concat();
        file.extend([7, 500, 3, 60].map(swap).concat());
        file.extend([1, 2, 3]);
        file.extend([8, 999_999, 0, 0].map(swap).concat());
        file
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>, PcapError> {
        Capture::new(bytes)?.collect()
    }

    #[test]
    fn reads_every_magic_in_both_byte_orders() {
        for (magic, scale) in [(MICROSECONDS, 1_000), (NANOSECONDS, 1)] {
            for swap in [u32::to_be_bytes, u32::to_le_bytes] {
                let records = read(&file(magic, 1, swap)).expect("a good file");
                assert_eq!(records.len(), 2);
                assert_eq!(records[0].timestamp_ns, 7_000_000_000 + 500 * scale);
                assert_eq!(records[0].orig_len, 60);
                assert_eq!(records[0].bytes, [1, 2, 3]);
                assert_eq!(records[1].timestamp_ns, 8_000_000_000 + 999_999 * scale);
                assert!(records[1].bytes.is_empty());
            }
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let mut writer = Writer::new(Vec::new()).expect("a vector takes all");
        let frames = [vec![], vec![0xab], vec![7; 9_000]];
        for (at, frame) in (1_700_000_000_123_456_789..).zip(&frames) {
            writer.write(at, frame).expect("a vector takes all");
        }
        let records = read(&writer.finish().expect("a vector takes all")).expect("a good file");
        assert_eq!(records.len(), frames.len());
        for (at, (record, frame)) in (1_700_000_000_123_456_789..).zip(records.iter().zip(&frames))
        {
            assert_eq!(record.timestamp_ns, at);
            assert_eq!(record.orig_len as usize, frame.len());
            assert_eq!(&record.bytes, frame);
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let good = file(MICROSECONDS, 1, u32::to_le_bytes);
        let broken = |at: usize, byte: u8| {
            let mut file = good.clone();
            file[at] = byte;
            read(&file).expect_err("a broken file").to_string()
        };
        assert_eq!(broken(0, 0x0a), "not a pcap file: it starts with [0a, c3, b2, a1]");
        assert_eq!(broken(6, 3), "pcap version 2.3 at offset 4; only 2.4 is known");
        assert_eq!(broken(20, 113), "link type 113 at offset 20; only 1 (Ethernet) is known");
        assert_eq!(
            broken(35, 0xff),
            "the record at offset 24 has 4278190083 bytes; 262144 at most are allowed"
        );
        assert_eq!(broken(51, 1), "the file ends inside the record at offset 43");
    }

    #[test]
    fn a_file_cut_anywhere_but_between_records_is_an_error() {
        let good = file(NANOSECONDS, 1, u32::to_be_bytes);
        for len in 0..good.len() {
            let records = read(&good[..len]);
            match len {
                24 => assert_eq!(records.expect("no records").len(), 0),
                43 => assert_eq!(records.expect("one record").len(), 1),
                _ => assert!(matches!(records, Err(PcapError::Truncated { .. })), "{len}"),
            }
        }
    }

    #[test]
    fn ends_behind_the_first_error() {
        let good = file(NANOSECONDS, 1, u32::to_be_bytes);
        let mut capture = Capture::new(&good[..30]).expect("the header is whole");
        assert!(capture.next().is_some_and(|record| record.is_err()));
        assert!(capture.next().is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256),
            header in proptest::bool::ANY,
        ) {
            let mut file = Vec::new();
            if header {
                file.extend_from_slice(&file_header());
            }
            file.extend(bytes);
            let _ = read(&file);
        }
    }

    fn file_header() -> Vec<u8> {
        Writer::new(Vec::new()).and_then(Writer::finish).expect("a vector takes all")
    }

    /// Whatever a file holds: records of it, or a reason; and never more bytes than it has.
    #[test]
    fn campaign_against_captures() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        (0..3_u8).for_each(|n| writer.write(u64::from(n), &[n; 60]).unwrap());
        let good = [writer.finish().unwrap()];
        crate::testkit::campaign::campaign(&good, |bytes| {
            let Ok(capture) = Capture::new(bytes) else { return };
            let mut read = 0;
            for record in capture {
                match record {
                    Ok(record) => read += record.bytes.len(),
                    Err(_) => break,
                }
            }
            assert!(read <= bytes.len());
        });
    }
}
