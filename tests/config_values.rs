//! What a configuration comes to: defaults, layers, names, includes, variables.

use std::path::Path;
use std::time::Duration;

use punctual::config::*;

const PORTS: &str = "schema = 1
[[port]]
name = \"in\"
device = \"net_ring0\"
[[port]]
name = \"out\"
device = \"0000:3b:00.0\"
address = [\"192.0.2.1/24\", \"10.1.0.1/16\"]
";

fn config(text: &str) -> Config {
    let text = format!("{PORTS}{text}");
    load_bytes(Path::new("values.toml"), text.into_bytes(), &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .config
}

#[test]
fn built_in_defaults_hold_where_nothing_is_written() {
    let config = config(
        "[[rule]]
        name = \"r\"
        input = { destination = \"239.1.0.0/24\", port = \"in\" }
        output = [{ port = \"out\" }, { port = \"out\", destination = \"239.2.0.0/24\" }]",
    );
    assert_eq!((config.clock, config.idle), (ClockSource::Tsc, Idle::Auto));
    assert_eq!(config.instance, "punctual");
    assert_eq!(config.eal.memory, EalMemory::Hugepages);
    assert_eq!((config.memory.packets, config.memory.headers), (65_536, 65_536));
    assert_eq!((config.edf_window, config.copy_below), (1_024, 0));
    assert_eq!(config.socket, ControlSocket::Auto);
    let Limits { ports, rules, outputs, rows, sources, groups, neighbours, unresolved } =
        config.limits;
    assert_eq!((rules, outputs, rows, sources), (4_096, 16_384, 1 << 20, 65_536));
    assert_eq!((ports, groups, neighbours, unresolved), (32, 4_096, 1_024, 16));
    assert_eq!(config.ports[0].reachable, Duration::from_secs(30));
    assert_eq!(
        (config.ports[0].join, config.ports[1].join, config.rules[0].input.join),
        (false, true, true)
    );
    assert_eq!((config.ports[0].rx, config.ports[1].rx), (RxMode::Lossless, RxMode::Live));
    assert_eq!(config.classes.map(|c| c.weight), [16, 4, 1]);
    let rule = &config.rules[0];
    assert_eq!((rule.class, rule.budget), (Class::Medium, Duration::from_millis(10)));
    assert_eq!((rule.late, rule.flow, rule.weight), (Late::Send, FlowKind::Rule, 1));
    assert_eq!(rule.queue, QueueBound { packets: 1_024, bytes: 2 << 20 });
    assert_eq!((rule.input.udp_port, rule.input.vlan), (None, VlanMatch::Untagged));
    assert_eq!(rule.outputs[0].ttl, TtlRewrite::Decrement);
    assert_eq!(rule.outputs[1].ttl, TtlRewrite::Set(16));
    let names: Vec<_> = rule.outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["out/keep", "out/239.2.0.0/24"]);
}

#[test]
fn the_nearest_layer_wins() {
    let config = config(
        "[default.output]
        port = \"out\"
        vlan = 1
        dscp = 1
        weight = 1
        sample = 7
        [default.receiver]
        vlan = 2
        dscp = 2
        [[receiver]]
        name = \"desk\"
        vlan = 3
        [[rule]]
        name = \"r\"
        input = { destination = \"239.1.0.0/24\", port = \"in\" }
        output = [{ receiver = \"desk\", vlan = 4 }, { receiver = \"desk\" }, {}]",
    );
    let outputs = &config.rules[0].outputs;
    let vlans: Vec<_> = outputs.iter().map(|o| o.vlan).collect();
    assert_eq!(vlans, [VlanRewrite::Id(4), VlanRewrite::Id(3), VlanRewrite::Id(1)]);
    let dscp: Vec<_> = outputs.iter().map(|o| o.dscp).collect();
    assert_eq!(dscp, [Some(2), Some(2), Some(1)]);
    assert!(outputs.iter().all(|o| o.sample == 7 && o.port == 1));
    let names: Vec<_> = outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["desk/keep@4", "desk/keep@3", "out/keep"]);
}

#[test]
fn the_port_s_own_address_is_the_one_nearest_to_the_destination() {
    let config = config(
        "[[rule]]
        name = \"r\"
        input = { destination = \"239.1.0.0/24\", port = \"in\" }
        [[rule.output]]
        port = \"out\"
        source = \"port\"
        [[rule.output]]
        port = \"out\"
        source = \"port\"
        destination = \"10.1.7.7\"
        mac = \"02:00:00:00:00:01\"",
    );
    let sources: Vec<_> =
        config.rules[0].outputs.iter().map(|o| o.source.unwrap().to_string()).collect();
    assert_eq!(sources, ["192.0.2.1", "10.1.0.1"]);
}

#[test]
fn the_control_socket_is_where_it_is_said() {
    let socket = |value: &str| config(&format!("[management]\nsocket = \"{value}\"")).socket;
    assert_eq!(socket("auto"), ControlSocket::Auto);
    assert_eq!(socket("off"), ControlSocket::Off);
    let longest = format!("/{}", "s".repeat(106));
    assert_eq!(socket(&longest), ControlSocket::At(longest.into()));
    let wrong = ["", "on", "run/p.sock", &format!("/{}", "s".repeat(107))];
    for value in wrong {
        let text = format!("{PORTS}[management]\nsocket = \"{value}\"");
        let loaded = load_bytes(Path::new("values.toml"), text.into_bytes(), &|_| None);
        assert!(loaded.is_err(), "{value}");
    }
}

#[test]
fn included_files_add_up() {
    let path = Path::new("tests/include_config/main.toml");
    let capture = |name: &str| (name == "CAPTURE").then(|| "feed".to_owned());
    let loaded = load_with(path, &capture).unwrap_or_else(|errors| panic!("{errors}"));
    let files: Vec<_> = loaded.files.iter().map(|f| f.to_str().unwrap()).collect();
    assert_eq!(
        files,
        [
            "tests/include_config/main.toml",
            "tests/include_config/conf.d/10-ports.toml",
            "tests/include_config/conf.d/20-rules.toml",
        ]
    );
    let Config { ports, classes, rules, .. } = loaded.config;
    assert_eq!(ports[0].device, "net_pcap0,rx_pcap=tests/include_config/feed.pcap");
    assert_eq!(ports[1].device, "net_pcap1,tx_pcap=tests/include_config/conf.d/out.pcap");
    assert_eq!(classes[0].weight, 64);
    assert_eq!((rules[0].outputs[0].port, rules[0].outputs[0].mac), (1, None));
}

#[test]
fn narrower_inputs_are_no_conflict() {
    let rule = |name: &str, input: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\ninput = {{ port = \"in\", {input} }}\n\
             output = [{{ port = \"out\" }}]\n"
        )
    };
    config(
        &[
            rule("a", "destination = \"239.1.0.0/24\""),
            rule("b", "destination = \"239.1.0.0/25\""),
            rule("c", "destination = \"239.1.0.0/24\", udp_port = \"1-10\""),
            rule("d", "destination = \"239.1.0.0/24\", udp_port = \"10-20\""),
            rule("e", "destination = \"239.1.0.0/24\", source = \"10.0.0.0/8\""),
            rule("f", "destination = \"239.1.0.0/24\", source = \"10.0.0.0/16\""),
            rule("g", "destination = \"239.1.0.0/24\", source = \"11.0.0.0/8\""),
            rule("h", "destination = \"239.1.0.0/24\", vlan = 7"),
            rule("i", "destination = \"239.1.0.0/24\", vlan = \"any\""),
        ]
        .concat(),
    );
}

#[test]
fn output_names_are_unique_in_their_rule() {
    let config = config(
        "[[receiver]]
        name = \"out\"
        port = \"out\"
        [[rule]]
        name = \"r\"
        input = { destination = \"239.1.0.0/24\", port = \"in\", udp_port = 5000 }
        output = [
          { port = \"out\" },
          { receiver = \"out\", udp_port = 6000 },
          { receiver = \"out\", port = \"in\", udp_port = 6000 },
        ]",
    );
    let names: Vec<_> = config.rules[0].outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["out/keep", "out/keep:6000", "out/keep:6000#3"]);
}
