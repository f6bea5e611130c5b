//! Fragments against etherparse: any good datagram, cut anywhere, any rewrite; and what is no
//! fragment of one.

mod frames;

use frames::copy::put_together;
use frames::{Frame, any, v4, v6};
use proptest::prelude::*;
use punctual::config::{SourcePortRewrite, TtlRewrite, UdpPortRewrite, VlanRewrite};
use punctual::packet::{DropReason, Part};
use punctual::wire::{
    IpVersion, MAX_FRAGMENT_HEADER, MacAddr, Origin, OwnMacs, Rewrite, Template, Verdict, parse,
    parse_fragment,
};

/// What the copies change.
fn rewrite(frame: &Frame, vlan: VlanRewrite, ttl: TtlRewrite, udp_port: UdpPortRewrite) -> Rewrite {
    let v4 = frame.source.is_ipv4();
    let (to, from) = match v4 {
        true => ("239.9.9.9/32", "10.1.2.3"),
        false => ("ff05::9:9/128", "fd00::7"),
    };
    Rewrite {
        version: if v4 { IpVersion::V4 } else { IpVersion::V6 },
        source_mac: MacAddr([2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]),
        mac: None,
        destination: Some(to.parse().expect("a prefix")),
        udp_port,
        source: Some(from.parse().expect("an address")),
        source_port: SourcePortRewrite::Keep,
        vlan,
        ttl,
        dscp: Some(46),
    }
}

/// The copy of a whole datagram.
fn copy_of_whole(bytes: &[u8], template: &Template) -> Vec<u8> {
    let Verdict::Udp { headers, frame_len } = parse(bytes, bytes.len(), &OwnMacs::default()) else {
        panic!("it is good");
    };
    let origin = Origin::read(bytes, &headers);
    let mut header = vec![0; template.header_len(&origin)];
    template.write(&origin, &mut header);
    [&header, &bytes[headers.payload()..frame_len]].concat()
}

/// The copy of a fragment, or why it has none.
fn copy_of_fragment(bytes: &[u8], template: &Template) -> Result<Vec<u8>, String> {
    let verdict = parse(bytes, bytes.len(), &OwnMacs::default());
    if verdict != Verdict::Drop(DropReason::Fragment) {
        return Err(format!("{verdict:?}"));
    }
    let (headers, end) = parse_fragment(bytes).ok_or("it is no fragment of a datagram")?;
    assert!(headers.part != Part::Whole && end <= bytes.len());
    let origin = Origin::read(bytes, &headers);
    let mut header = vec![0; template.fragment_header_len(&origin)];
    assert!(header.len() <= MAX_FRAGMENT_HEADER);
    template.write_fragment(&origin, &mut header);
    let copy = [&header, &bytes[headers.payload()..end]].concat();
    // What an MTU bounds.
    assert_eq!(template.ip_len(&origin), copy.len() - ip_at(&copy), "{headers:?}");
    Ok(copy)
}

/// Offset of the IP header.
fn ip_at(frame: &[u8]) -> usize {
    let is_tag = |at: usize| matches!(frame[at..at + 2], [0x81 | 0x91, 0] | [0x88, 0xa8]);
    [12, 16].into_iter().take_while(|&at| is_tag(at)).count() * 4 + 14
}

proptest! {
    /// The copies of the fragments, put together, are the copy of the datagram; those that were
    /// lost aside, nothing is made up.
    #[test]
    fn fragments_of_a_copy_are_copies_of_the_fragments(
        frame in any::frame(),
        more in prop::collection::vec(any::<u8>(), 64..4_000),
        units in 1usize..190,
        vlan in prop_oneof![Just(VlanRewrite::Keep), Just(VlanRewrite::None), Just(VlanRewrite::Id(7))],
        ttl in prop_oneof![Just(TtlRewrite::Decrement), Just(TtlRewrite::Set(9))],
        udp_port in prop_oneof![
            Just(UdpPortRewrite::Keep), Just(UdpPortRewrite::Fixed(9)), Just(UdpPortRewrite::Shift(-3)),
        ],
        lost in any::<prop::sample::Index>(),
    ) {
        let frame = frame.with(|f| {
            f.payload.extend(more);
            f.behind_udp.clear();
        });
        // The checksum may be off, but none at all is not for IPv6.
        let udp = frame.udp_at();
        prop_assume!(frame.source.is_ipv4() || frame.bytes()[udp + 6..udp + 8] != [0, 0]);
        let template = Template::new(&rewrite(&frame, vlan, ttl, udp_port));
        let cut = frame.fragments(units * 8);
        prop_assume!(cut.len() > 1);
        let mut copies = Vec::new();
        for bytes in &cut {
            copies.push(copy_of_fragment(bytes, &template).map_err(TestCaseError::fail)?);
        }
        let whole = copy_of_whole(&frame.bytes(), &template);
        let ip_at = ip_at(&whole);
        let udp_at = ip_at + if frame.source.is_ipv4() { 20 } else { 40 };
        let found = put_together(&copies).map_err(TestCaseError::fail)?;
        prop_assert!(found.as_deref() == Some(&whole[udp_at..]), "not what was sent");
        for (copy, bytes) in copies.iter().zip(&cut) {
            prop_assert_eq!(&copy[..ip_at], &whole[..ip_at]);
            if frame.source.is_ipv4() {
                let (new, old) = (&copy[ip_at..], &bytes[frame.ip_at()..]);
                prop_assert_eq!(&new[4..6], &old[4..6], "the id");
                prop_assert_eq!((new[6], new[7]), (old[6] & 0x7f, old[7]), "flags and offset");
                prop_assert_eq!(&new[12..20], &whole[ip_at + 12..ip_at + 20]);
            } else {
                let old = &bytes[frame.udp_at()..];
                prop_assert_eq!(copy[ip_at + 6], 44);
                prop_assert_eq!(&copy[ip_at + 40..ip_at + 48], &old[..8], "the fragment header");
                prop_assert_eq!(&copy[ip_at + 7..ip_at + 40], &whole[ip_at + 7..ip_at + 40]);
            }
        }
        copies.remove(lost.index(copies.len()));
        prop_assert_eq!(put_together(&copies), Ok(None));
    }
}

/// What cannot be a part of a datagram, and what can but looks odd.
#[test]
fn what_is_no_part_of_a_datagram_ends() {
    let judge = |bytes: &[u8]| {
        let verdict = parse(bytes, bytes.len(), &OwnMacs::default());
        assert_eq!(verdict, Verdict::Drop(DropReason::Fragment));
        parse_fragment(bytes).map(|(headers, _)| headers.part)
    };
    for whole in [v4(), v6()] {
        let whole = whole.with(|f| f.payload = vec![7; 100]);
        let v4 = whole.source.is_ipv4();
        let good = whole.fragments(64);
        assert_eq!((judge(&good[0]), judge(&good[1])), (Some(Part::First), Some(Part::Later)));
        // More follow, and it is no multiple of 8.
        let odd = whole.clone().with(|f| f.payload.truncate(99)).fragments(64);
        let mut last = odd[1].clone();
        let ip = whole.ip_at();
        if v4 {
            last[ip + 6] |= 0x20;
            frames::resum(&mut last[ip..ip + 20]);
        } else {
            last[ip + 40 + 3] |= 1;
        }
        assert_eq!(judge(&last), None);
        // It ends beyond all datagrams.
        let mut beyond = good[1].clone();
        if v4 {
            beyond[ip + 6..ip + 8].copy_from_slice(&0x1fffu16.to_be_bytes());
            frames::resum(&mut beyond[ip..ip + 20]);
        } else {
            beyond[ip + 42..ip + 44].copy_from_slice(&0xfff8u16.to_be_bytes());
        }
        assert_eq!(judge(&beyond), None);
        // A first one whose UDP length it holds already, or which is too short to be one.
        let short = whole.clone().with(|f| f.udp_len = Some(64)).fragments(64);
        assert_eq!(judge(&short[0]), None);
        let tiny = whole.clone().with(|f| f.udp_len = Some(7)).fragments(8);
        assert_eq!(judge(&tiny[0]), None);
    }
    // A datagram in one fragment (RFC 6946).
    let atomic = v6().fragments(64);
    assert_eq!((atomic.len(), judge(&atomic[0])), (1, Some(Part::First)));
    // Of another protocol it is none of ours, and without a checksum nobody's.
    let other = v6().with(|f| f.protocol = 6).fragments(64);
    assert_eq!(judge(&other[0]), None);
    let none = v6().with(|f| f.checksum = frames::Checksum::Zero).fragments(64);
    assert_eq!(judge(&none[0]), None);
}
