//! Keys of the site: top level, instance, EAL, memory, ports, classes, stages, limits.

use super::{Key, Kind, NAME, Preset, SECOND, Section, key};

/// The main file's top level.
pub static TOP: Section = Section {
    heading: "top level",
    about: "What stands before the first table, and the tables there are.",
    keys: &[
        key("schema", Kind::Integer(1, 1), Preset::Required, "version of this format"),
        key(
            "include",
            Kind::Other("array of strings", "file patterns with `*`, `?`, `[...]`; no `**`"),
            Preset::Told("none"),
            "more files, relative to this one, sorted; at most 256; not nested",
        ),
        key(
            "clock",
            Kind::Choice(&["tsc", "capture"]),
            Preset::Is("tsc"),
            "the worker's time: the processor's counter, or the greatest capture timestamp seen",
        ),
        key(
            "idle",
            Kind::Choice(&["auto", "spin", "adaptive"]),
            Preset::Is("auto"),
            "what a worker with little to do does; adaptive sleeps up to 100 us after 1,000 empty \
             turns, and by interfaces of the kernel lets frames gather that long and sleeps while \
             none come; auto is adaptive where lcores share a CPU",
        ),
        key("instance", Kind::Table("[instance]"), Preset::Told("defaults"), "who runs"),
        key("eal", Kind::Table("[eal]"), Preset::Told("defaults"), "DPDK's environment"),
        key("memory", Kind::Table("[memory]"), Preset::Told("defaults"), "packet buffers"),
        key("edf", Kind::Table("[edf]"), Preset::Told("defaults"), "the deadline stage"),
        key("fanout", Kind::Table("[fanout]"), Preset::Told("defaults"), "the fan-out stage"),
        key("limits", Kind::Table("[limits]"), Preset::Told("defaults"), "sizes"),
        key("alerts", Kind::Table("[alerts]"), Preset::Told("defaults"), "when to call"),
        key("management", Kind::Table("[management]"), Preset::Told("defaults"), "asking it"),
        PORTS,
        CLASSES_KEY,
        DEFAULTS_KEY,
        RECEIVERS,
        RULES,
    ],
    later: &[],
};

const PORTS: Key =
    key("port", Kind::Table("[[port]]"), Preset::Required, "at most `ports` of [limits]");
const CLASSES_KEY: Key =
    key("class", Kind::Table("[class.NAME]"), Preset::Told("defaults"), "the three classes");
const DEFAULTS_KEY: Key =
    key("default", Kind::Table("[default.*]"), Preset::Told("none"), "defaults of your own");
const RECEIVERS: Key = key("receiver", Kind::Table("[[receiver]]"), Preset::Told("none"), "");
const RULES: Key = key("rule", Kind::Table("[[rule]]"), Preset::Told("none"), "what goes where");

/// The top level of an included file.
pub static INCLUDED: Section = Section {
    heading: "included file",
    about: "An included file adds to the main one; no `class` or `default` table is set twice.",
    keys: &[
        key(
            "schema",
            Kind::Integer(1, 1),
            Preset::Told("the main file's"),
            "version of the format",
        ),
        Key { preset: Preset::Told("none"), ..PORTS },
        CLASSES_KEY,
        DEFAULTS_KEY,
        RECEIVERS,
        RULES,
    ],
    later: &[],
};

/// `[instance]`.
pub static INSTANCE: Section = Section {
    heading: "[instance]",
    about: "Who runs.",
    keys: &[key(
        "name",
        Kind::Name(32, false),
        Preset::Is("punctual"),
        "EAL file-prefix and lock name; one running instance a name",
    )],
    later: &[],
};

/// `[eal]`.
pub static EAL: Section = Section {
    heading: "[eal]",
    about: "DPDK's environment abstraction layer.",
    keys: &[
        key(
            "memory",
            Kind::Choice(&["hugepages", "in-memory", "no-huge"]),
            Preset::Is("hugepages"),
            "hugepages; hugepages that leave nothing behind; or ordinary pages (no root)",
        ),
        key(
            "lcores",
            Kind::Other(
                "string or table",
                "\"auto\" or { management = CPU, workers = [CPU, ...] }",
            ),
            Preset::Told("\"auto\""),
            "CPUs of the threads; auto is management and one worker, on the first two CPUs allowed",
        ),
        key(
            "extra",
            Kind::Other("array of strings", "EAL arguments"),
            Preset::Told("[]"),
            "passed to EAL as they are",
        ),
    ],
    later: &[],
};

/// `lcores = {}` of `[eal]`.
pub static LCORES: Section = Section {
    heading: "lcores",
    about: "The table form of `lcores` in `[eal]`.",
    keys: &[
        key("management", Kind::Integer(0, 1_023), Preset::Required, "CPU of the management lcore"),
        key(
            "workers",
            Kind::Other("array of integers", "1 to 32 CPUs, 0 to 1023"),
            Preset::Required,
            "CPU of each worker; more than one only with `clock = \"tsc\"`",
        ),
    ],
    later: &[],
};

/// `[memory]`.
pub static MEMORY: Section = Section {
    heading: "[memory]",
    about: "Packet buffers, taken at start.",
    keys: &[
        key(
            "packets",
            Kind::Integer(512, 1 << 24),
            Preset::Is("65536"),
            "buffers in the payload pool; at least 512 a port, 4,608 with af_xdp",
        ),
        key(
            "headers",
            Kind::Integer(512, 1 << 24),
            Preset::Told("as `packets`"),
            "buffers in the header pool: one for each copy beyond the first",
        ),
    ],
    later: &[],
};

/// `[[port]]`.
pub static PORT: Section = Section {
    heading: "[[port]]",
    about: "A DPDK port.",
    keys: &[
        key("name", NAME, Preset::Required, "unique"),
        key(
            "device",
            Kind::Other(
                "string",
                "a PCI address (0000:3b:00.0), a vdev (net_ring0,...), or with `driver` an \
                 interface (eth1)",
            ),
            Preset::Required,
            "`${VAR}` is replaced from the environment, `${CONFIG_DIR}` by this file's directory",
        ),
        key(
            "driver",
            Kind::Choice(&["af_packet", "af_xdp"]),
            Preset::Told("none"),
            "`device` is an interface that stays the kernel's; see [networks.md](networks.md)",
        ),
        key(
            "address",
            Kind::Other("string or array", "up to 16 addresses with prefix: \"10.0.0.1/24\""),
            Preset::Told("[]"),
            "source of packets that an output sends with `source = \"port\"`",
        ),
        key("mtu", Kind::Integer(68, 9_978), Preset::Is("1500"), "the longest IP packet, bytes"),
        key(
            "rx",
            Kind::Choice(&["live", "lossless"]),
            Preset::Told("\"lossless\" for net_pcap, net_ring, net_memif; else \"live\""),
            "live is polled every turn; lossless only when pool and queues have room",
        ),
        key(
            "rx_queues",
            Kind::Integer(1, 32),
            Preset::Told(
                "all of net_pcap and net_ring; one a worker where the device has RSS; else 1",
            ),
            "receive queues, which go round the workers",
        ),
        key(
            "rx_checksum",
            Kind::Choice(&["trust", "complete"]),
            Preset::Is("trust"),
            "complete: a kernel on the same host may leave UDP checksums unfinished",
        ),
        key(
            "join",
            Kind::Flag,
            Preset::Told("false for net_pcap, net_ring, net_memif, net_null; else true"),
            "whether the groups of the rules are joined here (IGMP, MLD), with `clock = \"tsc\"`; \
             false where a fabric brings them; see [networks.md](networks.md)",
        ),
        key(
            "bundle",
            Kind::Flag,
            Preset::Is("false"),
            "with `driver`: equal datagrams that follow each other leave as one, which the kernel or \
             the card cuts up; see [networks.md](networks.md#bundles)",
        ),
        key(
            "rate",
            Kind::Rate(1_000, 1_000_000_000_000),
            Preset::Told("none"),
            "bits a second that it is sent at most; frames count with 24 bytes of overhead",
        ),
        key(
            "burst",
            Kind::Bytes(1, 1 << 47),
            Preset::Told("200 us of `rate`, at least two largest frames"),
            "bytes above `rate` at once; at least one largest frame (mtu + 46), at most 1,000 s of \
             the rate",
        ),
        key(
            "gateway",
            Kind::Other("string or array", "one address of each IP version, on the port's link"),
            Preset::Told("none"),
            "who takes unicast copies that have no other way; see [networks.md](networks.md)",
        ),
        key("route", Kind::Table("route"), Preset::Told("none"), "an array of up to 1,024 tables"),
        key(
            "neighbour",
            Kind::Table("neighbour"),
            Preset::Told("none"),
            "an array of up to 1,024 tables",
        ),
        key(
            "reachable",
            Kind::Duration(SECOND, 3_600 * SECOND),
            Preset::Is("30s"),
            "how long a neighbour's answer is believed before it is asked again, give or take half",
        ),
    ],
    later: &[],
};

/// `route`.
pub static ROUTE: Section = Section {
    heading: "route",
    about: "An entry of `route` of a `[[port]]`; the longest prefix that holds a destination counts.",
    keys: &[
        key(
            "to",
            Kind::Other("string", "a unicast prefix or address"),
            Preset::Required,
            "what goes this way",
        ),
        key(
            "via",
            Kind::Other("string", "an address on the port's link"),
            Preset::Required,
            "who takes it",
        ),
    ],
    later: &[],
};

/// `neighbour`.
pub static NEIGHBOUR: Section = Section {
    heading: "neighbour",
    about: "An entry of `neighbour` of a `[[port]]`: a MAC that is not asked for, and that nothing \
            received changes.",
    keys: &[
        key("address", Kind::Other("string", "a host's address"), Preset::Required, "whose it is"),
        key(
            "mac",
            Kind::Other("string", "six hexadecimal octets: \"02:00:5e:10:00:01\""),
            Preset::Required,
            "",
        ),
    ],
    later: &[],
};

/// `[class]`.
pub static CLASSES: Section = Section {
    heading: "[class.*]",
    about: "The classes; the names are fixed.",
    keys: &[
        key("high", Kind::Table("[class.NAME]"), Preset::Told("1ms, weight 16"), "served first"),
        key("medium", Kind::Table("[class.NAME]"), Preset::Told("10ms, weight 4"), ""),
        key("low", Kind::Table("[class.NAME]"), Preset::Told("100ms, weight 1"), ""),
    ],
    later: &[],
};

/// `[class.NAME]`.
pub static CLASS: Section = Section {
    heading: "[class.NAME]",
    about: "NAME is high, medium or low.",
    keys: &[
        key(
            "budget",
            Kind::Duration(1_000, 10 * SECOND),
            Preset::Told("1ms, 10ms, 100ms"),
            "from arrival to deadline, where the rule has none",
        ),
        key(
            "weight",
            Kind::Integer(1, 256),
            Preset::Told("16, 4, 1"),
            "share against the other classes",
        ),
    ],
    later: &[],
};

/// `[default]`.
pub static DEFAULTS: Section = Section {
    heading: "[default.*]",
    about: "Defaults of your own, between a table's own keys and the built-in defaults.",
    keys: &[
        key("rule", Kind::Table("[default.rule]"), Preset::Told("none"), ""),
        key("receiver", Kind::Table("[default.receiver]"), Preset::Told("none"), ""),
        key("output", Kind::Table("[default.output]"), Preset::Told("none"), ""),
    ],
    later: &[],
};

/// `[edf]`.
pub static EDF: Section = Section {
    heading: "[edf]",
    about: "The stage that orders by deadline.",
    keys: &[key(
        "window",
        Kind::Integer(32, 65_536),
        Preset::Is("1024"),
        "copies that may wait in it",
    )],
    later: &[],
};

/// `[fanout]`.
pub static FANOUT: Section = Section {
    heading: "[fanout]",
    about: "The stage that replicates.",
    keys: &[key(
        "copy_below",
        Kind::Bytes(0, 2_048),
        Preset::Is("0B"),
        "frames shorter than this are copied, not chained; 0 always chains",
    )],
    later: &[],
};

/// `[limits]`.
pub static LIMITS: Section = Section {
    heading: "[limits]",
    about: "Sizes fixed at start.",
    keys: &[
        key(
            "ports",
            Kind::Integer(1, 32),
            Preset::Is("32"),
            "ports, those that reloads add included",
        ),
        key("rules", Kind::Integer(1, 65_536), Preset::Is("4096"), "rules"),
        key("outputs", Kind::Integer(1, 1 << 20), Preset::Is("16384"), "outputs of all rules"),
        key(
            "rows",
            Kind::Integer(1, 1 << 24),
            Preset::Is("1048576"),
            "addresses x UDP ports of all rules",
        ),
        key(
            "sources",
            Kind::Integer(1, 1 << 24),
            Preset::Is("65536"),
            "flows that rules with `flow = \"source\"` share; the power of two at or below is used, and \
             nearly all senders find one where that is twice their number",
        ),
        key("groups", Kind::Integer(1, 65_536), Preset::Is("4096"), "groups joined on all ports"),
        key(
            "neighbours",
            Kind::Integer(1, 16_384),
            Preset::Is("1024"),
            "hosts on the ports' links that are asked for their MAC",
        ),
        key(
            "unresolved",
            Kind::Integer(0, 1_024),
            Preset::Is("16"),
            "copies of an output that wait for a neighbour's first answer",
        ),
    ],
    later: &[],
};

/// `[management]`.
pub static MANAGEMENT: Section = Section {
    heading: "[management]",
    about: "How a running instance is asked; see [control.md](control.md).",
    keys: &[
        key(
            "socket",
            Kind::Other("string", "\"auto\", \"off\", or an absolute path of at most 107 bytes"),
            Preset::Is("auto"),
            "the control socket; auto is NAME.sock in /run/punctual, else in \
             $XDG_RUNTIME_DIR/punctual, else in /tmp/punctual-UID",
        ),
        key(
            "metrics",
            Kind::Other("string", "\"off\", or an IP address and a TCP port: \"127.0.0.1:9464\""),
            Preset::Is("off"),
            "where [metrics](metrics.md) and health are answered over HTTP, to anyone who can \
             connect; port 0 is any free one",
        ),
        key(
            "detail",
            Kind::Choice(&["ports", "rules", "outputs"]),
            Preset::Told("outputs, up to 10,000 series"),
            "how far metrics go: totals, classes, receivers and ports; each rule; each output. \
             Written out, up to 200,000 series",
        ),
    ],
    later: &[],
};
