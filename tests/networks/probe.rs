//! `punctual check FILE --probe`: what it says of the interfaces of a namespace.

use crate::binary::{Ended, Instance};
use crate::netns::{Net, Space};

fn probe(instance: &Instance, space: &Space) -> Ended {
    let mut command = space.command(env!("CARGO_BIN_EXE_punctual"));
    instance.spawn(&["check", "config.toml", "--probe"], &mut command).end()
}

fn configure(instance: &Instance, input: &str) {
    instance.configure(
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
    let instance = Instance::new();
    configure(&instance, "");
    let ended = probe(&instance, &space);
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stdout.contains("interface out: No such device"), "{}", ended.stdout);
    assert!(ended.stdout.contains("rx_checksum = \"complete\""), "{}", ended.stdout);

    space.veth("out", &other, "away");
    space.ip("link set out mtu 1300");
    other.ip("link set away down");
    configure(&instance, "rx_checksum = \"complete\"");
    let ended = probe(&instance, &space);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for said in ["in is a veth, up, MTU 1500, driver af_xdp", "ip link set out mtu 1500", "is down"]
    {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("unfinished"), "{}", ended.stdout);

    // While an instance runs there, and afterwards it goes on.
    other.ip("link set away up");
    let args = ["run", "config.toml", "--stop-after", "30s", "--report", "report.json"];
    let program = env!("CARGO_BIN_EXE_punctual");
    let mut running = instance.spawn(&args, &mut space.command(program));
    running.has_started();
    let ended = probe(&instance, &space);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(running.is_running());
    running.signal(libc::SIGTERM);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
