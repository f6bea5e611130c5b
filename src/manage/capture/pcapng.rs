//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, Ethernet, nanoseconds.
//!
//! Pcapng and not pcap, because it has the port's name, the direction and a comment for each packet.
//! Written here: of the format's many blocks four are needed, and the crates for it are either
//! readers only or before their first stable release.

/// The link type of all interfaces.
const ETHERNET: u16 = 1;
/// `if_tsresol`: times are in 10^-9 seconds.
const NANOSECONDS: u8 = 9;

/// Options, by the block that has them.
mod option {
    pub const END: u16 = 0;
    pub const COMMENT: u16 = 1;
    /// Of a section: the program.
    pub const USERAPPL: u16 = 4;
    /// Of an interface.
    pub const NAME: u16 = 2;
    pub const TSRESOL: u16 = 9;
    /// Of a packet.
    pub const FLAGS: u16 = 2;
}

/// Which way a packet went, as `epb_flags` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Neither.
    Unknown = 0,
    /// Received.
    Inbound = 1,
    /// Sent.
    Outbound = 2,
}

/// Begins a file.
pub fn section(out: &mut Vec<u8>, program: &str) {
    block(out, 0x0a0d_0d0a, |out| {
        out.extend(0x1a2b_3c4d_u32.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        // Its length is not known.
        out.extend(u64::MAX.to_le_bytes());
        put(out, option::USERAPPL, program.as_bytes());
        put(out, option::END, &[]);
    });
}

/// Tells of the next interface; they are numbered from 0.
pub fn interface(out: &mut Vec<u8>, name: &str, snap: u32) {
    block(out, 1, |out| {
        out.extend(ETHERNET.to_le_bytes());
        out.extend([0; 2]);
        out.extend(snap.to_le_bytes());
        put(out, option::NAME, name.as_bytes());
        put(out, option::TSRESOL, &[NANOSECONDS]);
        put(out, option::END, &[]);
    });
}

/// A packet of `len` bytes, of which `bytes` are kept, seen at an interface so many nanoseconds
/// after 1970.
pub fn packet(
    out: &mut Vec<u8>,
    interface: u32,
    unix_ns: u64,
    (bytes, len): (&[u8], u32),
    way: Way,
    comment: &str,
) {
    block(out, 6, |out| {
        let [high, low] = [(unix_ns >> 32) as u32, unix_ns as u32];
        for word in [interface, high, low, bytes.len() as u32, len] {
            out.extend(word.to_le_bytes());
        }
        out.extend(bytes);
        pad(out, bytes.len());
        put(out, option::COMMENT, comment.as_bytes());
        if way != Way::Unknown {
            put(out, option::FLAGS, &(way as u32).to_le_bytes());
        }
        put(out, option::END, &[]);
    });
}

/// A block around `body`: its type, its length, and its length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    // A block is a packet and some names: far from 4 GiB.
    let len = ((out.len() + 4 - start) as u32).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&len);
    out.extend(len);
}

/// An option; a longer value than 65,535 bytes is cut.
fn put(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out, value.len());
}

/// Fills up to a multiple of four.
fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend(std::iter::repeat_n(0, len.next_multiple_of(4) - len));
}

#[cfg(test)]
mod tests;
