//! Copies that find their way back: known by their source address, where a router has changed their
//! MAC; else a TTL that is decremented ends them.

use std::net::IpAddr;
use std::sync::Arc;

use punctual::packet::DropReason;
use punctual::testkit::HeapFrame;

use crate::frames::{Frame, v4, v6};
use crate::reload::Live;
use crate::site::{Site, numbered};

/// Rules of each kind of row. What they send to 239.101.1.0/24 is taken again, where it comes in by
/// port in.
const RULES: &str = r#"
    [default.output]
    ttl = TTL
    [[rule]]
    name = "there"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001, source = ["10.9.0.0/16"] }
    output = [{ port = "a", destination = "239.101.1.0/24", source = FOUR }]
    [[rule]]
    name = "back"
    flow = "row"
    input = { port = "in", destination = "239.101.1.0/24", udp_port = "5001-5002" }
    output = [{ port = "a", destination = "239.101.1.0/24" }]
    [[rule]]
    name = "any"
    input = { port = "in", destination = "239.2.1.0/24", udp_port = "any", vlan = "any", fragments = "forward" }
    output = [{ port = "a", destination = "239.102.1.0/24" }]
    [[rule]]
    name = "more"
    input = { port = "in", destination = "239.2.1.1", udp_port = 5001, source = ["10.0.0.1"] }
    output = [{ port = "a", destination = "239.102.1.1" }]
    [[rule]]
    name = "six"
    input = { port = "in", destination = "ff05::1:0/112", udp_port = 5001 }
    output = [{ port = "a", destination = "ff05::2:0/112", source = SIX }]
"#;

/// [`RULES`] whose outputs write these addresses as source, and this TTL.
fn rules((four, six): (&str, &str), ttl: &str) -> String {
    RULES.replace("FOUR", four).replace("SIX", six).replace("TTL", ttl)
}

/// Outputs write the address of their port; or keep their sender's.
const OURS: (&str, &str) = ("\"port\"", "\"port\"");
const KEPT: (&str, &str) = ("\"keep\"", "\"keep\"");

fn from(frame: Frame, source: &str, destination: &str) -> Frame {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    frame.with(|f| (f.source, f.destination) = (address(source), address(destination)))
}

/// What becomes of a frame: copies, and packets that ended as `own_source`.
fn becomes(site: &mut Site, frame: &[u8]) -> (usize, u64) {
    let ended = |site: &Site| site.ledger().dropped_before[DropReason::OwnSource.index()];
    let before = ended(site);
    site.rx.push(site.payload.adopt(HeapFrame::new(&[frame])));
    site.turns(3);
    (site.sent(1).len(), ended(site) - before)
}

/// Frames to each kind of row from an address.
fn each(v4_source: &str, v6_source: &str) -> Vec<Vec<u8>> {
    let any = from(v4(), v4_source, "239.2.1.7");
    let long = any.clone().with(|f| (f.payload, f.fragment) = (vec![7; 64], 0));
    let mut frames = vec![
        from(v4(), v4_source, "239.101.1.1").bytes(),
        from(v4(), v4_source, "239.101.1.1").with(|f| f.udp_port = 5002).bytes(),
        any.bytes(),
        any.with(|f| f.tags = vec![(0x8100, 9)]).bytes(),
        from(v6(), v6_source, "ff05::1:9").bytes(),
    ];
    frames.extend(long.fragments(24));
    frames
}

#[test]
fn a_copy_of_ours_that_comes_back_is_known_by_its_source_address() {
    let mut site = Site::new(&rules(OURS, "16"));
    for frame in each("10.0.0.1", "fd00::1") {
        assert_eq!(becomes(&mut site, &frame), (0, 1), "{frame:02x?}");
    }
    for frame in each("10.9.0.1", "fd00::2") {
        assert_eq!(becomes(&mut site, &frame), (1, 0), "{frame:02x?}");
    }
    // Whatever prefixes a rule has, and even where one asks for it.
    for (to, expected) in [("239.1.1.1", (0, 1)), ("239.2.1.1", (0, 1)), ("239.3.1.1", (0, 0))] {
        assert_eq!(becomes(&mut site, &from(v4(), "10.0.0.1", to).bytes()), expected, "{to}");
    }
    // A real copy, by way of a router.
    site.push(&v4());
    site.turns(3);
    let mut copy = site.sent(1)[0].bytes();
    copy[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    assert_eq!(becomes(&mut site, &copy), (0, 1));
    site.finish();
}

#[test]
fn an_address_is_ours_where_a_port_has_it_and_an_output_writes_it() {
    for source in [KEPT, ("\"10.7.7.7\"", "\"fd77::7\"")] {
        let mut site = Site::new(&rules(source, "16"));
        for address in ["10.0.0.1", "10.7.7.7"] {
            for frame in each(address, "fd00::1") {
                assert_eq!(becomes(&mut site, &frame), (1, 0), "{source:?}: {frame:02x?}");
            }
        }
        site.finish();
    }
}

#[test]
fn a_ttl_that_is_decremented_ends_a_loop_that_nothing_else_ends() {
    let rounds = |ttl: &str| {
        let mut site = Site::new(&rules(KEPT, ttl));
        let mut frame = numbered(v4(), 7).with(|f| f.ttl = 9).bytes();
        let mut rounds = 0;
        while rounds < 100 {
            site.rx.push(site.payload.adopt(HeapFrame::new(&[&frame])));
            site.turns(3);
            let copies = site.sent(1);
            let [copy] = &copies[..] else { break };
            frame = copy.bytes();
            frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
            rounds += 1;
        }
        (rounds, site.finish().dropped_after[DropReason::Ttl.index()])
    };
    assert_eq!(rounds("\"decrement\""), (8, 1));
    assert_eq!(rounds("16"), (100, 0), "each round makes a new datagram");
}

#[test]
fn a_reload_changes_which_addresses_are_ours() {
    let came = from(v4(), "10.0.0.1", "239.101.1.1").bytes();
    let mut live = Live::new(&rules(KEPT, "16"));
    for (source, ttl, shared, expected) in [
        (OURS, "16", false, (0, 1)),
        (OURS, "17", true, (0, 1)),
        (KEPT, "17", false, (1, 0)),
        (KEPT, "16", true, (1, 0)),
    ] {
        let before = Arc::clone(&live.site.plan.rows);
        live.reload(&rules(source, ttl)).expect("it is live");
        assert_eq!(Arc::ptr_eq(&before, &live.site.plan.rows), shared, "{source:?} {ttl}");
        assert_eq!(becomes(&mut live.site, &came), expected, "{source:?} {ttl}");
    }
    live.site.finish();
}
