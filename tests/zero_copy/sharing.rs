//! One packet, N owners.

use std::collections::HashSet;

use punctual::dpdk::Mbuf;
use punctual::packet::{DropReason, Packet};
use punctual::worker::Phase;

use crate::frames::{Frame, extension, v4, v6};
use crate::site::{Site, Sizes, bytes, load};
use crate::watched::Watched;

const PORTS: &str = r#"
    schema = 1
    [[port]]
    name = "in"
    device = "net_ring_r0"
    mtu = 9000
    [[port]]
    name = "a"
    device = "net_ring_r1"
    mtu = 9000
    [[port]]
    name = "b"
    device = "net_ring_r2"
    mtu = 9000
"#;

/// A rule for each fan-out and IP version; the UDP port says which: 5000 and the fan-out.
fn rules(fan_outs: &[u16]) -> String {
    let mut text = String::new();
    for &n in fan_outs {
        for (version, input, output) in
            [(4, "239.1.1.1", "239.101.0."), (6, "ff05::1:1", "ff05::2:")]
        {
            let outputs: Vec<String> = (1..=n)
                .map(|k| {
                    let port = if k % 2 == 1 { "a" } else { "b" };
                    let vlan = ["\"keep\"", "7", "\"none\""][usize::from(k) % 3];
                    format!("{{ port = \"{port}\", destination = \"{output}{k}\", vlan = {vlan} }}")
                })
                .collect();
            text += &format!(
                "[[rule]]\nname = \"v{version}x{n}\"\noutput = [{}]\n\
                 input = {{ destination = \"{input}\", udp_port = {}, vlan = \"any\" }}\n",
                outputs.join(", "),
                5000 + n
            );
        }
    }
    text
}

fn site(rules: &str) -> Site {
    let sizes = Sizes { payload: 1_024, headers: 1_024, rings: vec![1_023; 3], tsc: true };
    Site::new(&load(format!("{PORTS}{rules}")), &sizes)
}

/// Payloads from the shortest frame to 9,000 bytes of IP, around the ends of segments, behind
/// headers of every length, with padding, in one segment to five.
fn frames() -> Vec<Frame> {
    let tags = vec![(0x88a8, 7), (0x8100, 200)];
    let shapes = [
        v4(),
        v4().with(|f| f.tags = tags.clone()),
        v4().with(|f| f.options = vec![1; 40]),
        v6(),
        v6().with(|f| f.tags = tags),
        v6().with(|f| f.extensions = vec![extension(0), extension(60)]),
    ];
    let mut frames = vec![v4().with(|f| f.padding = vec![0xee; 14])];
    for shape in shapes {
        let headers = shape.udp_at() + 8;
        let most = 9_000 - (headers - shape.ip_at());
        let segment = 2_048 - headers;
        for len in [1, 22, 512, 1_458, segment, segment + 1, segment + 2_048, 5_000, most] {
            let payload = (0..len).map(|i| (i % 251) as u8).collect();
            frames.push(shape.clone().with(|f| f.payload = payload));
        }
    }
    frames
}

/// Lets a frame arrive at the rule of fan-out `n`; what its buffers were, and the copies.
fn relay(site: &mut Site, n: u16, frame: &Frame) -> (Watched, Vec<Mbuf>) {
    let bytes = frame.clone().with(|f| f.udp_port = 5000 + n).bytes();
    let (watched, packet) = Watched::new(site.packet(&bytes));
    assert!(site.rings[0].rx.push(packet).is_ok());
    site.turns(1);
    (watched, [site.sent(1), site.sent(2)].into_iter().flatten().collect())
}

fn payload_of(watched: &Watched, frame: &Frame) -> Vec<(usize, usize)> {
    let start = frame.udp_at() + 8;
    watched.pieces(start, start + frame.payload.len())
}

pub fn copies_share_one_payload() {
    let fan_outs = [2, 3, 4, 16];
    let mut site = site(&rules(&fan_outs));
    for n in fan_outs {
        for frame in frames() {
            let (watched, copies) = relay(&mut site, n, &frame);
            let payload = payload_of(&watched, &frame);
            let shared: Vec<_> = payload.iter().map(|&(at, len)| (at, len, n)).collect();
            assert_eq!(copies.len(), usize::from(n));
            for copy in &copies {
                let segments = copy.segment_addresses();
                assert_eq!(segments[0].2, 1, "a header has one owner");
                assert_eq!(segments[1..], shared, "the payload is where it arrived");
                assert!(bytes(copy).ends_with(&frame.payload));
            }
            let to: HashSet<_> = copies.iter().map(|copy| copy.head()[..6].to_vec()).collect();
            assert_eq!(to.len(), usize::from(n), "each copy has a header of its own");
            // The received header, the headroom and the tail are as they were, too.
            watched.is_unchanged(0..0);
            for copy in copies {
                assert_eq!(site.payload.in_use(), payload.len());
                drop(copy);
            }
            assert_eq!(site.payload.in_use(), 0, "the last owner gives it back");
        }
    }
    site.finish(Phase::Drain);
}

pub fn one_copy_is_rewritten_in_place() {
    // The copy's tags are kept, shorter, or longer.
    let rules: String = [(4, "239.1.1.1", "239.101.0.1"), (6, "ff05::1:1", "ff05::2:1")]
        .iter()
        .flat_map(|(version, input, output)| {
            ["\"keep\"", "\"none\"", "7"].iter().zip(1..).map(move |(vlan, n)| {
                format!(
                    "[[rule]]\nname = \"v{version}-{n}\"\n\
                     input = {{ destination = \"{input}\", udp_port = {}, vlan = \"any\" }}\n\
                     output = [{{ port = \"a\", destination = \"{output}\", vlan = {vlan} }}]\n",
                    5000 + n
                )
            })
        })
        .collect();
    let mut site = site(&rules);
    for n in 1..=3 {
        for frame in frames() {
            let (watched, copies) = relay(&mut site, n, &frame);
            let [copy] = &copies[..] else {
                panic!("{} copies", copies.len());
            };
            let payload = payload_of(&watched, &frame);
            let segments = copy.segment_addresses();
            assert!(segments.iter().all(|&(.., owners)| owners == 1));
            // The header lies right in front of the payload, in its segment.
            let (start, len, _) = segments[0];
            let arrived = watched.pieces(0, usize::MAX)[0].0;
            let end = arrived + frame.udp_at() + 8;
            assert!(start < end && (arrived - 128..end).contains(&start));
            assert_eq!(
                start + len,
                payload.first().filter(|p| p.0 == end).map_or(end, |p| p.0 + p.1)
            );
            assert!(bytes(copy).ends_with(&frame.payload));
            watched.is_unchanged(start.min(arrived)..end);
            assert_eq!((site.headers.in_use(), site.linear.in_use()), (0, 0));
            drop(copies);
            assert_eq!(site.payload.in_use(), 0);
        }
    }
    site.finish(Phase::Drain);
}

pub fn a_datagram_without_payload_shares_nothing() {
    let mut site = site(&rules(&[2]));
    for frame in [v4(), v6(), v4().with(|f| f.padding = vec![0; 18])] {
        let frame = frame.with(|f| f.payload.clear());
        let (_, copies) = relay(&mut site, 2, &frame);
        assert_eq!(copies.len(), 2);
        assert!(copies.iter().all(|copy| copy.segments() == 1));
        assert_eq!(site.payload.in_use(), 0);
    }
    site.finish(Phase::Drain);
}

/// TTL, MTU and a dry header pool cost their copies alone: the others own the payload, whose
/// owners are as many as they.
pub fn owners_are_the_copies_that_were_built() {
    // Port a is too narrow for the first frame; a live port is polled whatever is free.
    let narrow =
        PORTS.replacen("mtu = 9000", "rx = \"live\"", 1).replacen("mtu = 9000", "mtu = 576", 1);
    let text = format!("{narrow}{}", rules(&[4]));
    let sizes = Sizes { payload: 512, headers: 512, rings: vec![1_023; 3], tsc: true };
    let mut site = Site::new(&load(text), &sizes);
    let frame = v4().with(|f| f.payload = vec![9; 1_000]);
    let (watched, copies) = relay(&mut site, 4, &frame);
    assert_eq!(copies.len(), 2);
    let (at, len) = payload_of(&watched, &frame)[0];
    assert!(copies.iter().all(|copy| copy.segment_addresses()[1] == (at, len, 2)));
    assert_eq!(site.dropped_after(0, DropReason::Mtu), 1);
    watched.is_unchanged(0..0);
    drop(copies);
    assert_eq!(site.payload.in_use(), 0);

    // All but one header buffer are gone; the stock was taken with the first packet.
    let mut taken: Vec<Mbuf> = std::iter::from_fn(|| site.headers.take_one()).collect();
    let stock = site.headers.size() - taken.len();
    let small = v4().with(|f| f.payload = vec![9; 100]);
    let mut held = vec![];
    let mut built = 0;
    while built < stock {
        let (watched, copies) = relay(&mut site, 4, &small);
        let owners = copies.len().min(4) as u16;
        built += copies.len();
        assert!(owners > 0 && copies.iter().all(|c| c.segment_addresses()[1].2 == owners));
        watched.is_unchanged(0..0);
        held.push(copies);
    }
    let (_, copies) = relay(&mut site, 4, &small);
    assert!(copies.is_empty(), "no header, no copy");
    assert!(site.ledger().dropped_after[DropReason::HeaderAlloc.index()] >= 4);
    assert_eq!(site.payload.in_use(), held.len(), "and no payload is left behind");
    held.clear();
    taken.clear();
    site.finish(Phase::Drain);
}

pub fn what_cannot_be_chained_is_copied_and_owns_nothing() {
    let text = format!("{PORTS}{}[fanout]\ncopy_below = \"200B\"\n", rules(&[4]));
    let sizes = Sizes { payload: 512, headers: 512, rings: vec![1_023; 3], tsc: true };
    let mut site = Site::new(&load(text), &sizes);
    let (watched, copies) = relay(&mut site, 4, &v4().with(|f| f.payload = vec![9; 100]));
    assert_eq!(copies.len(), 4);
    assert!(copies.iter().all(|copy| copy.segments() == 1));
    assert_eq!((site.payload.in_use(), site.linear.in_use()), (0, 4));
    watched.is_unchanged(0..0);
    drop(copies);
    site.finish(Phase::Drain);
}
