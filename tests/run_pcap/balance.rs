//! Balanced outputs through the binary: each sender at one member, its packets in order; the next
//! run gives a member that has come its share and moves nothing else; `explain` names the member.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::binary::{Instance, named, number, sum};
use crate::frames::copy::read;
use crate::frames::{Frame, v4};

/// Senders, and packets of each.
const SENDERS: u32 = 400;
const ROUNDS: u32 = 5;

fn source(sender: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a09_0000 + sender + 1)
}

fn frame(sender: u32, round: u32) -> Frame {
    v4().with(|f| {
        f.source = source(sender).into();
        f.payload = round.to_be_bytes().to_vec();
    })
}

/// The relay with members 1 to `members`, the odd ones behind `a`, the even ones behind `b`, and
/// an output that gets all.
fn configure(instance: &Instance, members: usize) {
    let port = |slot: usize, name: &str, direction: &str| {
        format!(
            "[[port]]\nname = \"{name}\"\n\
             device = \"net_pcap{slot},{direction}_pcap=${{CONFIG_DIR}}/{name}.pcap\"\n"
        )
    };
    let to: String = (1..=members)
        .map(|n| {
            let port = ["b", "a"][n % 2];
            format!("{{ port = \"{port}\", destination = \"239.2.0.{n}\" }}, ")
        })
        .collect();
    let text = format!(
        "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 2048\n{}{}{}\
         [[rule]]\nname = \"netflow\"\n\
         input = {{ port = \"in\", destination = \"239.1.1.1\", udp_port = \"any\" }}\n\
         output = [{{ port = \"a\", destination = \"239.2.0.99\" }}]\n\
         balance = {{ to = [{to}] }}\n",
        port(0, "in", "rx"),
        port(1, "a", "tx"),
        port(2, "b", "tx")
    );
    instance.configure("clock = \"capture\"", &text);
}

/// Who has which sender, after a run that is judged by packet.
fn homes(instance: &Instance, members: usize) -> (BTreeMap<IpAddr, u8>, Value) {
    configure(instance, members);
    let all = (0..ROUNDS).flat_map(|round| (0..SENDERS).map(move |sender| (sender, round)));
    let frames: Vec<_> = all.map(|(sender, round)| frame(sender, round).bytes()).collect();
    let times = (0..).map(|n: u64| 1_700_000_000_000_000_000 + n * 1_000);
    instance.capture("in.pcap", times.zip(frames.iter().map(|frame| &frame[..])));
    let report = instance.relay();
    let (mut homes, mut seen) = (BTreeMap::new(), BTreeMap::<_, Vec<u8>>::new());
    for file in ["a.pcap", "b.pcap"] {
        for copy in instance.captured(file) {
            let (fields, checksum, right) = read(&copy).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(checksum, right, "{fields:?}");
            let IpAddr::V4(to) = fields.destination else { panic!("{fields:?}") };
            let member = to.octets()[3];
            seen.entry((fields.source, member)).or_default().push(fields.payload[3]);
            if member != 99 {
                let home = *homes.entry(fields.source).or_insert(member);
                assert_eq!(home, member, "{} has one member", fields.source);
            }
        }
    }
    let rounds: Vec<u8> = (0..ROUNDS as u8).collect();
    assert!(seen.values().all(|payloads| *payloads == rounds), "all, once, in order");
    assert_eq!((homes.len(), seen.len()), (SENDERS as usize, 2 * SENDERS as usize));
    (homes, report)
}

#[test]
fn each_sender_has_one_member_and_one_that_comes_moves_its_share_only() {
    let instance = Instance::new();
    let packets = u64::from(SENDERS * ROUNDS);
    let (before, report) = homes(&instance, 3);
    let rule = named(&report["rules"], "netflow");
    let outputs = rule["outputs"].as_array().expect("it has outputs");
    let (always, members) = outputs.split_first().expect("it has one at least");
    assert_eq!((number(&always["sent"]), number(&always["not_selected"])), (packets, 0));
    for (member, output) in (1..).zip(members) {
        let had = before.values().filter(|&&home| home == member).count() as u64;
        let sent = had * u64::from(ROUNDS);
        assert_eq!((number(&output["copies"]), number(&output["sent"])), (sent, sent));
        assert_eq!(number(&output["not_selected"]), packets - sent);
        assert_eq!(sum(&output["dropped"]), 0);
        assert!((90..180).contains(&had), "a third of {SENDERS}: {had}");
    }
    assert_eq!(number(&report["ledger"]["copies"]), 2 * packets);

    explains(&instance, &before);

    let (after, _) = homes(&instance, 4);
    let moved: Vec<_> = before.iter().filter(|(sender, home)| after[sender] != **home).collect();
    assert!(moved.iter().all(|(sender, _)| after[sender] == 4), "to who has come");
    assert!((60..140).contains(&moved.len()), "a quarter of {SENDERS}: {}", moved.len());
}

/// `explain` gives a copy to the member that the run gave it to, and says why to no other.
fn explains(instance: &Instance, homes: &BTreeMap<IpAddr, u8>) {
    for sender in 0..8 {
        let packet = format!("in {}:4000 > 239.1.1.1:5001", source(sender));
        let told = instance.run(&["explain", "config.toml", "--json", "--packet", &packet]);
        assert_eq!(told.code, Some(0), "{told:?}");
        let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
        let outputs = told["outputs"].as_array().expect("outputs");
        for (member, output) in (1..).zip(&outputs[1..]) {
            let (reason, copy) = (&output["reason"], &output["copy"]);
            if homes[&IpAddr::V4(source(sender))] == member {
                assert!(reason.is_null() && copy.is_object(), "{output}");
            } else {
                assert!(*reason == "not_selected" && copy.is_null(), "{output}");
                assert!(output["why"].as_str().is_some_and(|why| why.contains("source")));
            }
        }
    }
}
