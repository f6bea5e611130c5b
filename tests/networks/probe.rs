//! `punctual check FILE --probe`: what it says of the interfaces of a namespace.

use crate::netns::Net;
use crate::relay::Relay;

const PROBE: [&str; 3] = ["check", "config.toml", "--probe"];

fn configure(relay: &Relay, input: &str) {
    relay.instance.configure(
        "",
        &format!(
            "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 16384\n\
             [[port]]\nname = \"in\"\ndevice = \"in\"\ndriver = \"af_xdp\"\n{input}\n\
             [[port]]\nname = \"out\"\ndevice = \"out\"\ndriver = \"af_packet\"\n\
             [[rule]]\nname = \"all\"\ninput = {{ port = \"in\", destination = \"239.1.1.1\" }}\n\
             output = [{{ port = \"out\", destination = \"239.2.2.2\" }}]\n"
        ),
    );
}

pub fn a_probe_says_what_is_wrong_and_disturbs_nobody() {
    let net = Net::new();
    let (space, other) = (net.space(), net.space());
    space.veth("in", &other, "far");
    let mut relay = Relay::unset();
    configure(&relay, "");
    let ended = relay.run_in(&space, &PROBE);
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stdout.contains("interface out: No such device"), "{}", ended.stdout);
    assert!(ended.stdout.contains("rx_checksum = \"complete\""), "{}", ended.stdout);

    space.veth("out", &other, "away");
    space.ip("link set out mtu 1300");
    other.ip("link set away down");
    configure(&relay, "rx_checksum = \"complete\"");
    let ended = relay.run_in(&space, &PROBE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for said in ["in is a veth, up, MTU 1500, driver af_xdp", "ip link set out mtu 1500", "is down"]
    {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("unfinished"), "{}", ended.stdout);

    // While an instance runs there, and afterwards it goes on.
    other.ip("link set away up");
    relay.start(&space);
    let ended = relay.run_in(&space, &PROBE);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    relay.still_runs();
    relay.stop();
}
