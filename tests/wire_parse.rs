//! Parse against any bytes, and against etherparse on what it finds good.

mod frames;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use frames::{any, v4};
use proptest::collection::vec;
use proptest::prelude::*;
use punctual::packet::{Headers, Part};
use punctual::wire::{
    Key, MacAddr, Origin, OwnMacs, SegmentSum, Verdict, complete_udp_checksum, parse,
    parse_fragment, parse_other, parse_plain, source,
};

/// The verdict, which is the same where nothing is taken for plain; for a sender of our own, too.
fn judge(frame: &[u8]) -> Verdict {
    let sender = frame.get(6..12).and_then(|mac| mac.first_chunk().copied()).map(MacAddr);
    for own in [OwnMacs::default(), OwnMacs::new(sender)] {
        let (any, other) = (parse(frame, frame.len(), &own), parse_other(frame, frame.len(), &own));
        assert_eq!(any, other, "{}", frame.escape_ascii());
    }
    parse(frame, frame.len(), &OwnMacs::default())
}

/// Where the headers of a frame that must be good are, and where its datagram ends.
fn good(frame: &[u8]) -> Result<(Headers, usize), TestCaseError> {
    match judge(frame) {
        Verdict::Udp { headers, frame_len } => Ok((headers, frame_len)),
        verdict => Err(TestCaseError::fail(format!("{verdict:?}"))),
    }
}

/// Lengths that agree, but are too short for a UDP header or too long for an IP packet.
#[test]
fn lengths_at_their_edges_are_judged_alike() {
    for udp_len in [0, 7, 8, 65_515, 65_516, u16::MAX] {
        let frame = v4().with(|f| {
            (f.udp_len, f.ip_len) = (Some(udp_len), Some(udp_len.wrapping_add(20)));
            f.payload = vec![0; 65_600];
        });
        let is_good = matches!(judge(&frame.bytes()), Verdict::Udp { .. });
        assert_eq!(is_good, (8..=65_515).contains(&udp_len), "{udp_len}");
    }
}

/// A port's MAC may end like a sender's, which is no reason to take the long way for all its frames.
#[test]
fn a_sender_like_us_is_plain_and_we_are_not() {
    let frame = v4().bytes();
    let sender: [u8; 6] = frame[6..12].try_into().expect("a MAC");
    let is_plain = |own| parse_plain(&frame, frame.len(), &OwnMacs::new([MacAddr(own)])).is_some();
    for (at, bit) in [(0, 2), (3, 1), (5, 0x40), (5, 0x80)] {
        let mut own = sender;
        own[at] ^= bit;
        assert!(is_plain(own), "{own:x?}");
    }
    assert!(!is_plain(sender));
}

#[test]
fn a_ttl_of_0_is_judged_alike() {
    judge(&v4().with(|f| f.ttl = 0).bytes());
}

/// An address as the key has it.
fn number(address: std::net::IpAddr) -> u128 {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        std::net::IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Fails where etherparse sees another packet.
fn agrees(frame: &[u8], headers: &Headers, frame_len: usize) -> Result<(), TestCaseError> {
    let sliced = SlicedPacket::from_ethernet(frame)
        .map_err(|error| TestCaseError::fail(format!("etherparse: {error}")))?;
    let offset = |part: &[u8]| part.as_ptr().addr() - frame.as_ptr().addr();
    let (ip, version) = match &sliced.net {
        Some(NetSlice::Ipv4(v4)) => (offset(v4.header().slice()), 4),
        Some(NetSlice::Ipv6(v6)) => (offset(v6.header().slice()), 6),
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    };
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else {
        return Err(TestCaseError::fail("etherparse sees no UDP"));
    };
    prop_assert_eq!((usize::from(headers.ip), headers.version), (ip, version));
    prop_assert_eq!(usize::from(headers.udp), offset(udp.header_slice()));
    prop_assert_eq!(headers.payload(), offset(udp.payload()));
    prop_assert_eq!(frame_len, headers.payload() + udp.payload().len());
    let vlan = sliced.vlan_ids().first().map_or(0, |id| id.value());
    prop_assert_eq!(headers.vlan, vlan);
    prop_assert_eq!(Key::read(frame, headers).udp_port, udp.destination_port());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_have_a_verdict(
        bytes in vec(any::<u8>(), 0..200),
        len in 0usize..300,
        ip in 0usize..24,
        version in 0u8..10,
        udp in any::<u16>(),
    ) {
        if let Verdict::Udp { headers, frame_len } = judge(&bytes) {
            agrees(&bytes, &headers, frame_len)?;
        }
        parse(&bytes, len, &OwnMacs::default());
        // Headers that lie read zeros, and panic as little.
        let headers = Headers { ip: ip as u8, version, udp, ..Headers::default() };
        for part in [Part::Whole, Part::First, Part::Later] {
            let headers = Headers { part, ..headers };
            Key::read(&bytes, &headers);
            source(&bytes, &headers);
            Origin::read(&bytes, &headers);
        }
        parse_fragment(&bytes);
        complete_udp_checksum(&mut bytes.clone(), &headers, SegmentSum::behind(0).sum());
    }

    #[test]
    fn a_good_frame_is_found_as_etherparse_finds_it(frame in any::frame()) {
        let bytes = frame.bytes();
        let (headers, frame_len) = good(&bytes)?;
        agrees(&bytes, &headers, frame_len)?;
        prop_assert_eq!(source(&bytes, &headers), number(frame.source));
        let vlan = frame.tags.first().map_or(0, |(_, tci)| tci & 0xfff);
        let key = Key { destination: number(frame.destination), udp_port: frame.udp_port, vlan };
        prop_assert_eq!(Key::read(&bytes, &headers), key);
    }

    /// A few bytes changed, the header checksum made right again, or the end cut off.
    #[test]
    fn a_damaged_frame_is_refused_or_found_as_etherparse_finds_it(
        frame in any::frame(),
        changes in vec((0usize..110, any::<u8>()), 0..4),
        cut in 0usize..200,
    ) {
        let mut bytes = frame.bytes();
        for (at, byte) in changes {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        let ip = frame.ip_at();
        if frame.source.is_ipv4() {
            let header_len = usize::from(bytes[ip] & 0xf).max(5) * 4;
            if let Some(header) = bytes.get_mut(ip..ip + header_len) {
                frames::resum(header);
            }
        }
        if cut < 100 {
            bytes.truncate(bytes.len().saturating_sub(cut));
        }
        if let Verdict::Udp { headers, frame_len } = judge(&bytes) {
            agrees(&bytes, &headers, frame_len)?;
        }
    }

    /// `rx_checksum = "complete"`: from any field, over any segments, to the right checksum.
    #[test]
    fn a_checksum_is_completed_over_any_segments(
        frame in any::frame(),
        cuts in vec(0usize..9_100, 0..5),
    ) {
        let mut bytes = frame.bytes();
        let (headers, frame_len) = good(&bytes)?;
        bytes.truncate(frame_len);
        let mut sum = SegmentSum::behind(headers.payload());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % bytes.len()).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            sum.add(&bytes[pair[0]..pair[1]]);
        }
        let field = frame.udp_at() + 6..frame.udp_at() + 8;
        let received = [bytes[field.start], bytes[field.start + 1]];
        bytes[field.clone()].fill(0);
        let right = frames::udp_checksum(frame.source, frame.destination, &bytes[frame.udp_at()..]);
        bytes[field.clone()].copy_from_slice(&received);
        complete_udp_checksum(&mut bytes, &headers, sum.sum());
        let expected = if received == [0, 0] { [0, 0] } else { right.to_be_bytes() };
        prop_assert_eq!(&bytes[field], expected);
    }
}

/// Changed copies of good frames: another parser sees what this one sees, and nothing that is vouched
/// for is outside.
#[test]
fn campaign_against_parse() {
    let mut good: Vec<_> = frames::vectors::all().into_iter().map(|(_, bytes, _)| bytes).collect();
    let long = [frames::v4(), frames::v6()].map(|f| f.with(|f| f.payload = vec![9; 200]));
    good.extend(long.iter().map(frames::Frame::bytes));
    good.extend(long.iter().flat_map(|frame| frame.clone().with(|f| f.fragment = 0).fragments(64)));
    let mut found = [0_u64; 2];
    punctual::testkit::campaign::of_frames(&good, |bytes| {
        if let Verdict::Udp { headers, frame_len } = judge(bytes) {
            found[0] += 1;
            assert!(headers.payload() <= frame_len && frame_len <= bytes.len());
            agrees(bytes, &headers, frame_len).unwrap_or_else(|error| panic!("{error}"));
        }
        // With less of it in the first segment it is read alike, or not at all.
        let head = &bytes[..bytes.len() / 2];
        if let Verdict::Udp { headers, frame_len } = parse(head, bytes.len(), &OwnMacs::default()) {
            assert!(headers.payload() <= head.len() && frame_len <= bytes.len());
        }
        let is_fragment = judge(bytes) == Verdict::Drop(punctual::packet::DropReason::Fragment);
        if let Some((headers, frame_len)) = parse_fragment(bytes).filter(|_| is_fragment) {
            found[1] += 1;
            assert!(frame_len <= bytes.len() && usize::from(headers.ip) < frame_len);
            let _ = (Key::read(bytes, &headers), source(bytes, &headers));
            let _ = Origin::read(bytes, &headers);
        }
    });
    let alone = std::env::var_os("PUNCTUAL_FUZZ_CASE").is_some();
    assert!(alone || found.iter().all(|&count| count > 0), "none was good: {found:?}");
}
