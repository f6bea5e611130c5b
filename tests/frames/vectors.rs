//! The golden table: malformed and unusual frames, a name and a verdict each.

use punctual::packet::{DropReason, Headers, Part};
use punctual::wire::Verdict;

use super::{Checksum, Frame, OURS, extension, v4, v6};

/// A vector's name, its frame and what must become of it.
pub type Vector = (&'static str, Vec<u8>, Verdict);

fn dropped(name: &'static str, frame: Frame, reason: DropReason) -> Vector {
    (name, frame.bytes(), Verdict::Drop(reason))
}

fn punted(name: &'static str, frame: Frame) -> Vector {
    (name, frame.bytes(), Verdict::Punt)
}

/// A good frame: the verdict says where its headers are.
fn udp(name: &'static str, vlan: u16, frame: Frame) -> Vector {
    let headers = Headers {
        ip: frame.ip_at() as u8,
        version: if frame.source.is_ipv4() { 4 } else { 6 },
        udp: frame.udp_at() as u16,
        vlan,
        port: 0,
        part: Part::Whole,
    };
    let len = frame.udp_len.map_or(8 + frame.payload.len(), usize::from);
    let frame_len = frame.udp_at() + len;
    let verdict = Verdict::Udp { headers, frame_len };
    (name, frame.bytes(), verdict)
}

/// A change of the bytes behind a frame's building, the IPv4 checksum made right again.
fn edited(
    name: &'static str,
    frame: Frame,
    reason: DropReason,
    edit: impl FnOnce(&mut [u8]),
) -> Vector {
    let mut bytes = frame.bytes();
    let ip = frame.ip_at();
    edit(&mut bytes[ip..]);
    if frame.source.is_ipv4() {
        let header_len = usize::from(bytes[ip] & 0xf).max(5) * 4;
        if let Some(header) = bytes.get_mut(ip..ip + header_len) {
            super::resum(header);
        }
    }
    (name, bytes, Verdict::Drop(reason))
}

fn tagged(tags: &[(u16, u16)]) -> Frame {
    v4().with(|f| f.tags = tags.to_vec())
}

fn ethernet() -> Vec<Vector> {
    use DropReason::{NotIp, OwnSource};
    let typed = |ethertype| v4().with(|f| f.ethertype = Some(ethertype));
    vec![
        udp("plain IPv4", 0, v4()),
        udp("plain IPv6", 0, v6()),
        dropped("own source MAC", v4().with(|f| f.source_mac = OURS), OwnSource),
        dropped("own source MAC on ARP", typed(0x0806).with(|f| f.source_mac = OURS), OwnSource),
        punted("ARP", typed(0x0806)),
        punted("ARP in a VLAN", typed(0x0806).with(|f| f.tags = vec![(0x8100, 5)])),
        dropped("MPLS", typed(0x8847), NotIp),
        dropped("802.3 length, LLC", typed(0x0026), NotIp),
        udp("one tag", 200, tagged(&[(0x8100, 200)])),
        udp("a tag with priority bits", 200, tagged(&[(0x8100, 0xe000 | 200)])),
        udp("one tag 0x88a8", 7, tagged(&[(0x88a8, 7)])),
        udp("one tag 0x9100", 7, tagged(&[(0x9100, 7)])),
        udp("two tags: the outermost counts", 7, tagged(&[(0x88a8, 7), (0x8100, 200)])),
        udp("priority tag", 0, tagged(&[(0x8100, 0xa000)])),
        udp("priority tag around a tag", 0, tagged(&[(0x8100, 0xa000), (0x8100, 9)])),
        udp("IPv6 in two tags", 4094, v6().with(|f| f.tags = vec![(0x8100, 4094); 2])),
        dropped("three tags", tagged(&[(0x8100, 7); 3]), NotIp),
    ]
}

fn ipv4_form() -> Vec<Vector> {
    use DropReason::{Fragment, IpChecksum, IpHeader, IpLength, Ttl};
    let sized = |len| v4().with(|f| f.ip_len = Some(len));
    let fragment = |field| v4().with(|f| f.fragment = field);
    let mut bad_sum = v4().bytes();
    bad_sum[24] ^= 1;
    let mut bad_option_sum = v4().with(|f| f.options = vec![1; 8]).bytes();
    bad_option_sum[34] ^= 1;
    vec![
        edited("version 6 under 0x0800", v4(), IpHeader, |ip| ip[0] = 0x65),
        edited("IHL 4", v4(), IpHeader, |ip| ip[0] = 0x44),
        edited("IHL 0", v4(), IpHeader, |ip| ip[0] = 0x40),
        edited("IHL past the frame", v4(), DropReason::Truncated, |ip| ip[0] = 0x4f),
        dropped("IHL past the total length", sized(20).with(|f| f.options = vec![1; 8]), IpLength),
        dropped("total length 19", sized(19), IpLength),
        dropped("total length 0", sized(0), IpLength),
        dropped("total length past the frame", sized(33), IpLength),
        dropped("total length without room for UDP", sized(27), DropReason::UdpLength),
        udp("padded to 60 bytes", 0, v4().with(|f| f.padding = vec![0xee; 14])),
        udp("padded, one tag", 5, tagged(&[(0x8100, 5)]).with(|f| f.padding = vec![0; 10])),
        udp("router alert", 0, v4().with(|f| f.options = vec![0x94, 4, 0, 0])),
        udp("loose source route, bad length", 0, v4().with(|f| f.options = vec![131, 0, 0, 0])),
        udp("forty bytes of options", 0, v4().with(|f| f.options = vec![1; 40])),
        ("header checksum", bad_sum, Verdict::Drop(IpChecksum)),
        ("header checksum over options", bad_option_sum, Verdict::Drop(IpChecksum)),
        udp("neither DF nor an offset", 0, fragment(0)),
        udp("the reserved flag", 0, fragment(0x8000)),
        dropped("first fragment", fragment(0x2000), Fragment),
        dropped("middle fragment", fragment(0x2001), Fragment),
        dropped("last fragment", fragment(0x0001), Fragment),
        dropped("highest offset", fragment(0x1fff), Fragment),
        dropped("TTL 0", v4().with(|f| f.ttl = 0), Ttl),
        udp("TTL 1", 0, v4().with(|f| f.ttl = 1)),
    ]
}

fn protocols() -> Vec<Vector> {
    use DropReason::{Fragment, NotUdp, Ttl};
    let v4_of = |protocol| v4().with(|f| f.protocol = protocol);
    let v6_of = |protocol| v6().with(|f| f.protocol = protocol);
    let from =
        |frame: Frame, source: &str| frame.with(|f| f.source = source.parse().expect("an address"));
    vec![
        punted("ICMP", v4_of(1)),
        punted("IGMP", v4_of(2)),
        punted("IGMP from 0.0.0.0", from(v4_of(2), "0.0.0.0")),
        punted("a fragment of ICMP", v4_of(1).with(|f| f.fragment = 0x2000)),
        dropped("ICMP with TTL 0", v4_of(1).with(|f| f.ttl = 0), Ttl),
        dropped("TCP", v4_of(6), NotUdp),
        dropped("a fragment of TCP", v4_of(6).with(|f| f.fragment = 0x2000), NotUdp),
        dropped("protocol 0 in IPv4", v4_of(0), NotUdp),
        dropped("UDP-Lite", v4_of(136), NotUdp),
        dropped("ICMPv6 in IPv4", v4_of(58), NotUdp),
        punted("ICMPv6", v6_of(58)),
        punted("ICMPv6 from ::", from(v6_of(58), "::")),
        punted(
            "MLD from :: behind a router alert",
            from(v6_of(58), "::").with(|f| f.extensions = vec![extension(0)]),
        ),
        dropped("ICMP in IPv6", v6_of(1), NotUdp),
        dropped("TCP in IPv6", v6_of(6), NotUdp),
        dropped("no next header", v6_of(59), NotUdp),
        dropped("authentication header", v6_of(51), NotUdp),
        dropped("ESP", v6_of(50), NotUdp),
        dropped("a fragment header", v6_of(44), Fragment),
        dropped(
            "a fragment header behind options",
            v6_of(44).with(|f| f.extensions = vec![extension(60)]),
            Fragment,
        ),
    ]
}

fn ipv6_form() -> Vec<Vector> {
    use DropReason::{IpHeader, IpLength, Ttl};
    let sized = |len| v6().with(|f| f.ip_len = Some(len));
    let chain = |extensions: Vec<(u8, Vec<u8>)>| v6().with(|f| f.extensions = extensions);
    let long =
        |number, units: u8| (number, [&[units][..], &vec![0; 6 + 8 * usize::from(units)]].concat());
    let past_end = (60, vec![1, 1, 4, 0, 0, 0, 0]);
    let source_route = (43, vec![0, 4, 1, 0, 0, 0, 0]);
    let done_route = (43, vec![0, 4, 0, 0, 0, 0, 0]);
    vec![
        edited("version 4 under 0x86dd", v6(), IpHeader, |ip| ip[0] = 0x45),
        dropped("payload length 0 (jumbogram)", sized(0), IpLength),
        dropped("payload length past the frame", sized(13), IpLength),
        dropped("payload length without room for UDP", sized(7), DropReason::UdpLength),
        udp("IPv6, padded", 0, v6().with(|f| f.padding = vec![0xee; 9])),
        dropped("hop limit 0", v6().with(|f| f.ttl = 0), Ttl),
        udp("hop limit 1", 0, v6().with(|f| f.ttl = 1)),
        udp("hop-by-hop", 0, chain(vec![extension(0)])),
        udp(
            "hop-by-hop, options, routing done",
            0,
            chain(vec![extension(0), extension(60), done_route]),
        ),
        udp("a long extension header", 0, chain(vec![long(60, 255)])),
        udp("eight extension headers", 0, chain(vec![extension(60); 8])),
        dropped("nine extension headers", chain(vec![extension(60); 9]), IpHeader),
        dropped("hop-by-hop behind another", chain(vec![extension(60), extension(0)]), IpHeader),
        dropped("hop-by-hop twice", chain(vec![extension(0); 2]), IpHeader),
        dropped("routing with segments left", chain(vec![source_route]), IpHeader),
        dropped(
            "an extension header past the end",
            chain(vec![past_end]).with(|f| f.payload.clear()).with(|f| f.ip_len = Some(12)),
            IpHeader,
        ),
        dropped(
            "an extension header without room",
            chain(vec![extension(0)]).with(|f| f.ip_len = Some(7)),
            IpHeader,
        ),
        dropped(
            "an extension header and no more",
            chain(vec![extension(0)]).with(|f| f.ip_len = Some(8)),
            DropReason::UdpLength,
        ),
    ]
}

fn udp_form() -> Vec<Vector> {
    use DropReason::{UdpChecksum, UdpLength};
    let sized = |frame: Frame, len| frame.with(|f| f.udp_len = Some(len));
    let summed = |frame: Frame, checksum| frame.with(|f| f.checksum = checksum);
    vec![
        dropped("UDP length 0", sized(v4(), 0), UdpLength),
        dropped("UDP length 7", sized(v4(), 7), UdpLength),
        dropped("UDP length past the IP payload", sized(v4(), 13), UdpLength),
        dropped(
            "UDP length into the padding",
            sized(v4(), 13).with(|f| f.padding = vec![0; 14]),
            UdpLength,
        ),
        udp("UDP length below the IP payload", 0, v4().with(|f| f.behind_udp = vec![9; 5])),
        udp("UDP length 8", 0, v4().with(|f| f.payload.clear())),
        udp("no UDP checksum, IPv4", 0, summed(v4(), Checksum::Zero)),
        udp("a wrong UDP checksum", 0, summed(v4(), Checksum::Off(1))),
        dropped("no UDP checksum, IPv6", summed(v6(), Checksum::Zero), UdpChecksum),
        dropped("UDP length 7, IPv6", sized(v6(), 7), UdpLength),
        dropped("UDP length past the IP payload, IPv6", sized(v6(), 13), UdpLength),
        udp("UDP length below the IP payload, IPv6", 0, v6().with(|f| f.behind_udp = vec![9; 5])),
    ]
}

/// Addresses: a frame from `source` to `destination`, to the MAC that fits.
fn between(frame: Frame, source: &str, destination: &str) -> Frame {
    frame.with(|f| {
        f.source = source.parse().expect("an address");
        f.destination = destination.parse().expect("an address");
    })
}

fn martians_v4() -> Vec<Vector> {
    let bad = |name, source, destination| {
        dropped(name, between(v4(), source, destination), DropReason::Martian)
    };
    let good = |name, source, destination| udp(name, 0, between(v4(), source, destination));
    let to = |mac, destination| between(v4(), "10.9.1.1", destination).with(|f| f.mac = Some(mac));
    let martian = DropReason::Martian;
    vec![
        bad("source 0.0.0.0", "0.0.0.0", "239.1.1.1"),
        bad("source 0.1.2.3", "0.1.2.3", "239.1.1.1"),
        bad("source 127.0.0.1", "127.0.0.1", "239.1.1.1"),
        bad("source 224.0.0.1", "224.0.0.1", "239.1.1.1"),
        bad("source 240.0.0.1", "240.0.0.1", "239.1.1.1"),
        bad("source 255.255.255.255", "255.255.255.255", "239.1.1.1"),
        bad("destination 0.0.0.0", "10.9.1.1", "0.0.0.0"),
        bad("destination 0.1.2.3", "10.9.1.1", "0.1.2.3"),
        bad("destination 127.0.0.1", "10.9.1.1", "127.0.0.1"),
        bad("destination 255.255.255.255", "10.9.1.1", "255.255.255.255"),
        bad("LAND", "10.9.1.1", "10.9.1.1"),
        good("source 1.0.0.0", "1.0.0.0", "239.1.1.1"),
        good("source 126.255.255.255", "126.255.255.255", "239.1.1.1"),
        good("source 128.0.0.0", "128.0.0.0", "239.1.1.1"),
        good("source 223.255.255.255", "223.255.255.255", "239.1.1.1"),
        good("unicast to unicast", "10.9.1.1", "10.9.1.2"),
        good("a group whose high bits the MAC forgets", "10.9.1.1", "239.129.1.1"),
        dropped("unicast IP, its group MAC", to([1, 0, 0x5e, 9, 1, 2], "10.9.1.2"), martian),
        dropped("unicast IP, broadcast MAC", to([0xff; 6], "10.9.1.2"), martian),
        dropped("group IP, another group's MAC", to([1, 0, 0x5e, 1, 1, 2], "239.1.1.1"), martian),
        dropped(
            "group IP, bit 24 in the MAC",
            to([1, 0, 0x5e, 0x81, 1, 1], "239.129.1.1"),
            martian,
        ),
        dropped("group IP, broadcast MAC", to([0xff; 6], "239.1.1.1"), martian),
        dropped("group IP, IPv6 group MAC", to([0x33, 0x33, 239, 1, 1, 1], "239.1.1.1"), martian),
        udp("group IP, unicast MAC", 0, to(OURS, "239.1.1.1")),
    ]
}

fn martians_v6() -> Vec<Vector> {
    let bad = |name, source, destination| {
        dropped(name, between(v6(), source, destination), DropReason::Martian)
    };
    let good = |name, source, destination| udp(name, 0, between(v6(), source, destination));
    let to = |mac, destination| between(v6(), "fd00::1", destination).with(|f| f.mac = Some(mac));
    let martian = DropReason::Martian;
    vec![
        bad("source ::", "::", "ff05::1"),
        bad("source ::1", "::1", "ff05::1"),
        bad("source ff02::1", "ff02::1", "ff05::1"),
        bad("source ::ffff:10.9.1.1", "::ffff:10.9.1.1", "ff05::1"),
        bad("destination ::", "fd00::1", "::"),
        bad("destination ::1", "fd00::1", "::1"),
        bad("destination ::ffff:239.1.1.1", "fd00::1", "::ffff:239.1.1.1"),
        bad("LAND, IPv6", "fd00::1", "fd00::1"),
        good("source ::2", "::2", "ff05::1"),
        good("unicast to unicast, IPv6", "fd00::1", "fd00::2"),
        dropped(
            "source ::, UDP behind a hop-by-hop header",
            between(v6(), "::", "ff05::1").with(|f| f.extensions = vec![extension(0)]),
            martian,
        ),
        dropped("unicast IPv6, group MAC", to([0x33, 0x33, 0, 0, 0, 2], "fd00::2"), martian),
        dropped("unicast IPv6, broadcast MAC", to([0xff; 6], "fd00::2"), martian),
        dropped(
            "group IPv6, another group's MAC",
            to([0x33, 0x33, 0, 0, 0, 2], "ff05::1"),
            martian,
        ),
        dropped("group IPv6, IPv4 group MAC", to([1, 0, 0x5e, 0, 0, 1], "ff05::1"), martian),
        udp("group IPv6, unicast MAC", 0, to(OURS, "ff05::1")),
    ]
}

/// The whole table.
pub fn all() -> Vec<Vector> {
    [ethernet(), ipv4_form(), protocols(), ipv6_form(), udp_form(), martians_v4(), martians_v6()]
        .concat()
}
