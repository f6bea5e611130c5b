//! What a punted frame is about, for the slow path's policers.

use super::load::{be16, load};

/// What a frame that is the slow path's is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PuntKind {
    /// ARP and neighbour discovery.
    Neighbours,
    /// IGMP and MLD.
    Groups,
    /// ICMP and ICMPv6 besides those.
    Messages,
}

/// The protocol of such a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PuntProtocol {
    /// RFC 826.
    Arp,
    /// Neighbour discovery: the ICMPv6 of RFC 4861.
    Nd,
    /// RFC 792.
    Icmp,
    /// RFC 4443, neighbour discovery and MLD aside.
    Icmpv6,
    /// Any version.
    Igmp,
    /// Any version.
    Mld,
}

impl PuntProtocol {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Arp, Self::Nd, Self::Icmp, Self::Icmpv6, Self::Igmp, Self::Mld];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Nd => "nd",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Igmp => "igmp",
            Self::Mld => "mld",
        }
    }

    /// What it is about.
    pub const fn kind(self) -> PuntKind {
        match self {
            Self::Arp | Self::Nd => PuntKind::Neighbours,
            Self::Igmp | Self::Mld => PuntKind::Groups,
            Self::Icmp | Self::Icmpv6 => PuntKind::Messages,
        }
    }

    /// The protocol of a frame that parse has punted.
    ///
    /// Bytes that are not there read as zeros, so nothing can panic.
    pub fn of(head: &[u8]) -> Self {
        let mut at = 12;
        let mut ethertype = be16(head, at);
        for _ in 0..2 {
            if matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
                at += 4;
                ethertype = be16(head, at);
            }
        }
        let ip = at + 2;
        let byte = |at| load::<1>(head, at)[0];
        match (ethertype, byte(ip + 6), byte(ip + 9)) {
            (0x0806, ..) => Self::Arp,
            (0x0800, _, IGMP) => Self::Igmp,
            // MLD comes behind a hop-by-hop header (RFC 2710, section 3), hardly anything else does.
            (0x86dd, 0, _) => Self::Mld,
            (0x86dd, ICMPV6, _) => match byte(ip + 40) {
                130..=132 | 143 => Self::Mld,
                133..=137 => Self::Nd,
                _ => Self::Icmpv6,
            },
            (0x86dd, ..) => Self::Icmpv6,
            _ => Self::Icmp,
        }
    }
}

impl PuntKind {
    /// How many kinds there are.
    pub const COUNT: usize = 3;

    /// The kind of a frame that parse has punted, and whether it was sent to a group.
    pub fn of(head: &[u8]) -> (Self, bool) {
        (PuntProtocol::of(head).kind(), load::<1>(head, 0)[0] & 1 == 1)
    }
}

const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame to a group: its ethertype behind `tags` tags, and bytes of the packet behind it.
    fn kind(tags: usize, ethertype: u16, bytes: &[(usize, u8)]) -> (PuntKind, bool) {
        let mut frame = vec![0; 120];
        frame[0] = 1;
        for tag in 0..tags {
            frame[12 + 4 * tag..][..2].copy_from_slice(&[0x81, 0]);
        }
        let at = 12 + 4 * tags;
        frame[at..at + 2].copy_from_slice(&ethertype.to_be_bytes());
        bytes.iter().for_each(|&(offset, value)| frame[at + 2 + offset] = value);
        PuntKind::of(&frame)
    }

    #[test]
    fn each_protocol_has_its_kind_tagged_or_not() {
        for tags in 0..=2 {
            let of = |ethertype, bytes: &[(usize, u8)]| kind(tags, ethertype, bytes);
            assert_eq!(of(0x0806, &[]), (PuntKind::Neighbours, true));
            assert_eq!(of(0x0800, &[(9, 2)]), (PuntKind::Groups, true));
            assert_eq!(of(0x0800, &[(9, 1)]), (PuntKind::Messages, true));
            assert_eq!(of(0x86dd, &[(6, 58), (40, 135)]), (PuntKind::Neighbours, true));
            assert_eq!(of(0x86dd, &[(6, 58), (40, 143)]), (PuntKind::Groups, true));
            assert_eq!(of(0x86dd, &[(6, 58), (40, 128)]), (PuntKind::Messages, true));
            assert_eq!(of(0x86dd, &[(6, 0)]), (PuntKind::Groups, true));
        }
        assert!(!PuntKind::of(&[2, 0, 0, 0, 0, 1]).1, "a host's");
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_kind(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            PuntKind::of(&bytes);
        }
    }
}
