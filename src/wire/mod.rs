//! Header views and rewriting: bytes in, verdicts and new headers out. Knows no packet handle.
//!
//! A frame is judged once ([`parse()`]), classified by its [`Key`], and read once ([`Origin`]);
//! then each output's [`Template`] writes a header for it. None of that allocates, reads the
//! payload, or can panic, whatever the bytes.

mod mac;
mod load;
mod checksum;
mod parse;
mod plain;
mod fragment;
mod punt_kind;
mod key;
mod origin;
mod template;
mod bundle;

pub use bundle::{BUNDLE_HEADERS, Bundle, Part};
pub use checksum::{SegmentSum, Sum, complete_udp_checksum, ipv4_header_valid};
pub use fragment::{FRAGMENT_HEADER, Fragment, parse_fragment};
pub use key::{Key, PLAIN_HEADER, plain_head, plain_head_mut, source, source_port};
pub use mac::MacAddr;
pub use origin::Origin;
pub use parse::{EXTENSIONS, OwnMacs, Verdict, parse, parse_other};
pub use plain::{Plain, parse_plain};
pub use punt_kind::{PuntKind, PuntProtocol};
pub use template::{IpVersion, MAX_FRAGMENT_HEADER, MAX_HEADER, Rewrite, Template};
