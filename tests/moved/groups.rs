//! The binary on a capture with messages about groups: what it hears and says of them.

use crate::files::scrape;
use crate::moved::Moved;
use crate::queries::{igmp, igmp3};
use crate::relay::Relay;
use crate::table::Mover;

/// How often the case looks for what it waits for.
const LOOKS: usize = 500;

pub fn what_is_heard_of_groups_moves() {
    let mut relay = Relay::unset();
    relay.instance.configure(
        "",
        r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 2048
        [[port]]
        name = "in"
        device = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap,tx_pcap=${CONFIG_DIR}/said.pcap"
        join = true
        [[port]]
        name = "out"
        device = "net_null1,no-rx=1"
        [[rule]]
        name = "feed"
        input = { port = "in", destination = "239.1.1.1" }
        output = [{ port = "out", destination = "239.2.2.1" }]
        [management]
        metrics = "127.0.0.1:0"
        "#,
    );
    let leave = igmp(vec![0x17, 0, 0, 0, 239, 1, 1, 1], [224, 0, 0, 2].into(), 1);
    let afar = igmp(vec![0x11, 5, 0, 0, 0, 0, 0, 0], [224, 0, 0, 1].into(), 2);
    // ARP of five bytes.
    let cut = [&[0xff; 6][..], &[2; 6], &[8, 6], &[0; 5]].concat();
    let frames = [igmp3(5), leave, afar, cut];
    relay.instance.capture("in.pcap", (0..).zip(frames.iter().map(Vec::as_slice)));
    relay.start_here();
    let mut moved = Moved::default();
    for _ in 0..LOOKS {
        if moved.all(Mover::Groups) {
            break;
        }
        moved.text(&scrape(&mut relay, |work| work()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    relay.stop();
    moved.is_as_the_table_says(Mover::Groups);
}
