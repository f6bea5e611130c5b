//! Keys of what is relayed: rules, inputs, outputs, receivers and their defaults.

use super::{Key, Kind, NAME, Preset, SECOND, Section, key};

const QUEUE_PACKETS_MAX: u64 = 1 << 20;
const QUEUE_BYTES_MAX: u64 = 64 << 30;

const RULE_CLASS: Key = key(
    "class",
    Kind::Choice(&["high", "medium", "low"]),
    Preset::Is("medium"),
    "the class it is served in",
);
const RULE_BUDGET: Key = key(
    "budget",
    Kind::Duration(1_000, 10 * SECOND),
    Preset::Told("the class's"),
    "from arrival to deadline; at most three times the class's budget",
);
const RULE_WEIGHT: Key =
    key("weight", Kind::Integer(1, 256), Preset::Is("1"), "of each of its flows in the class");
const RULE_LATE: Key = key(
    "late",
    Kind::Choice(&["send", "drop"]),
    Preset::Is("send"),
    "what happens to packets behind their deadline",
);
const RULE_FLOW: Key = key(
    "flow",
    Kind::Choice(&["rule", "row", "source"]),
    Preset::Is("rule"),
    "what fairness and policing count: the rule, each destination and port, or each source",
);
const RULE_POLICE: Key =
    key("police", Kind::Table("police"), Preset::Told("none"), "bound of each flow's rate");
const RULE_QUEUE: Key =
    key("queue", Kind::Table("queue"), Preset::Told("defaults"), "bound of each flow's queue");

const RULE_EXPECT: Key = key(
    "expect",
    Kind::Table("expect"),
    Preset::Told("nothing"),
    "the least it gets, or there is an alert",
);

/// `[default.rule]`.
pub static DEFAULT_RULE: Section = Section {
    heading: "[default.rule]",
    about: "For every rule that does not say otherwise.",
    keys: &[
        RULE_CLASS,
        RULE_BUDGET,
        RULE_WEIGHT,
        RULE_LATE,
        RULE_FLOW,
        RULE_POLICE,
        RULE_QUEUE,
        RULE_EXPECT,
    ],
    later: &[],
};

const OUT_PORT: Key = key(
    "port",
    Kind::Other("string", "the name of a port"),
    Preset::Told("the receiver's, else a default's; required"),
    "where it leaves",
);
const OUT_VLAN: Key = key(
    "vlan",
    Kind::Other("string or integer", "\"keep\", \"none\" or an id of 1 to 4094"),
    Preset::Told("\"keep\""),
    "the tags of the copy; an id keeps the priority of the received outer tag",
);
const OUT_SOURCE: Key = key(
    "source",
    Kind::Other("string", "\"keep\", \"port\" or a unicast address"),
    Preset::Told("\"keep\""),
    "source address; port is the port's own of the right IP version",
);
const OUT_SOURCE_PORT: Key = key(
    "source_port",
    Kind::Other("string or integer", "\"keep\", \"destination\" or 1 to 65535"),
    Preset::Told("\"keep\""),
    "source UDP port; destination is the copy's destination port",
);
const OUT_TTL: Key = key(
    "ttl",
    Kind::Other("string or integer", "\"decrement\" or 1 to 255"),
    Preset::Told("16 with `destination`, else \"decrement\""),
    "TTL or hop limit; decrement drops what arrives with 1",
);
const OUT_DSCP: Key = key(
    "dscp",
    Kind::Other("integer or string", "0 to 63 or \"keep\""),
    Preset::Told("\"keep\""),
    "",
);
const OUT_MAC: Key = key(
    "mac",
    Kind::Other("string", "six hexadecimal octets: \"02:00:5e:10:00:01\""),
    Preset::Told("the group's; for unicast the next hop is asked for it"),
    "destination MAC; see [networks.md](networks.md)",
);
const OUT_WEIGHT: Key =
    key("weight", Kind::Integer(1, 256), Preset::Is("1"), "share of the port in the class");
const OUT_QUEUE: Key =
    key("queue", Kind::Table("queue"), Preset::Told("defaults"), "bound of its egress queue");
const OUT_UDP_PORT: Key = key(
    "udp_port",
    Kind::Other("integer or string", "1 to 65535, or a shift: \"+1000\", \"-1000\""),
    Preset::Told("as received"),
    "destination UDP port",
);
const OUT_SAMPLE: Key =
    key("sample", Kind::Integer(1, 1 << 30), Preset::Is("1"), "one packet in so many");

/// `[default.receiver]`.
pub static DEFAULT_RECEIVER: Section = Section {
    heading: "[default.receiver]",
    about: "For every receiver that does not say otherwise.",
    keys: &[
        OUT_PORT,
        OUT_VLAN,
        OUT_SOURCE,
        OUT_SOURCE_PORT,
        OUT_TTL,
        OUT_DSCP,
        OUT_MAC,
        OUT_WEIGHT,
        OUT_QUEUE,
    ],
    later: &[],
};

/// `[default.output]`.
pub static DEFAULT_OUTPUT: Section = Section {
    heading: "[default.output]",
    about: "For every output, where neither it nor its receiver says otherwise.",
    keys: &[
        OUT_PORT,
        OUT_UDP_PORT,
        OUT_VLAN,
        OUT_SOURCE,
        OUT_SOURCE_PORT,
        OUT_TTL,
        OUT_DSCP,
        OUT_MAC,
        OUT_SAMPLE,
        OUT_WEIGHT,
        OUT_QUEUE,
    ],
    later: &[],
};

/// `[[receiver]]`.
pub static RECEIVER: Section = Section {
    heading: "[[receiver]]",
    about: "Who gets it: settings that its outputs share.",
    keys: &[
        key("name", NAME, Preset::Required, "unique"),
        OUT_PORT,
        OUT_VLAN,
        OUT_SOURCE,
        OUT_SOURCE_PORT,
        OUT_TTL,
        OUT_DSCP,
        OUT_MAC,
        OUT_WEIGHT,
        OUT_QUEUE,
    ],
    later: &[],
};

/// `[[rule]]`.
pub static RULE: Section = Section {
    heading: "[[rule]]",
    about: "What is relayed, how, and to whom.",
    keys: &[
        key("name", NAME, Preset::Required, "unique"),
        key("input", Kind::Table("input"), Preset::Required, "what it matches"),
        key(
            "output",
            Kind::Table("output"),
            Preset::Told("required without `balance`"),
            "an array of 1 to 1024 tables; at most `edf.window`",
        ),
        key(
            "balance",
            Kind::Table("balance"),
            Preset::Told("none"),
            "more outputs, of which each packet goes to one",
        ),
        RULE_CLASS,
        RULE_BUDGET,
        RULE_WEIGHT,
        RULE_LATE,
        RULE_FLOW,
        RULE_POLICE,
        RULE_QUEUE,
        RULE_EXPECT,
    ],
    later: &[],
};

/// `input`.
pub static INPUT: Section = Section {
    heading: "input",
    about: "What a rule matches. One rule takes a packet: the one with the longest destination \
            prefix, then the narrowest UDP port range, then the longest source prefix.",
    keys: &[
        key(
            "port",
            Kind::Other("string or array", "names of ports"),
            Preset::Told("all ports"),
            "where it arrives",
        ),
        key(
            "destination",
            Kind::Other("string or array", "up to 1024 addresses or prefixes of one IP version"),
            Preset::Required,
            "groups or unicast addresses; link-local groups are never relayed",
        ),
        key(
            "udp_port",
            Kind::Other("integer or string", "1 to 65535, a range \"5000-5007\", or \"any\""),
            Preset::Told("\"any\""),
            "destination UDP port",
        ),
        key(
            "vlan",
            Kind::Other("integer or string", "1 to 4094 or \"any\""),
            Preset::Told("untagged"),
            "the outermost tag; absent is untagged or priority-tagged",
        ),
        key(
            "source",
            Kind::Other(
                "string or array",
                "up to 1024 addresses or prefixes of the same IP version",
            ),
            Preset::Told("any"),
            "who may send; where all are hosts, groups are joined for these sources only",
        ),
        key(
            "join",
            Kind::Flag,
            Preset::Is("true"),
            "whether its groups are joined on those of its ports that join",
        ),
        key(
            "fragments",
            Kind::Choice(&["drop", "forward"]),
            Preset::Is("drop"),
            "fragments of datagrams; `forward` relays each by its addresses alone, so the input \
             names no `udp_port`; see [networks.md](networks.md)",
        ),
    ],
    later: &[],
};

/// `police`.
pub static POLICE: Section = Section {
    heading: "police",
    about: "A token bucket for each flow of the rule; frames count with 24 bytes of overhead.",
    keys: &[
        key(
            "rate",
            Kind::Rate(1_000, 1_000_000_000_000),
            Preset::Required,
            "bits a second, in the long run",
        ),
        key(
            "burst",
            Kind::Bytes(1, 1 << 47),
            Preset::Required,
            "at least one largest frame (mtu + 46), at most 1,000 s of the rate",
        ),
    ],
    later: &[],
};

/// `queue`.
pub static QUEUE: Section = Section {
    heading: "queue",
    about: "The bound of one queue: both hold. A `queue` replaces the whole one of a lower layer.",
    keys: &[
        key("packets", Kind::Integer(1, QUEUE_PACKETS_MAX), Preset::Is("1024"), ""),
        key(
            "bytes",
            Kind::Bytes(1, QUEUE_BYTES_MAX),
            Preset::Is("2MiB"),
            "at least one largest frame (mtu + 46)",
        ),
    ],
    later: &[],
};

/// `expect`.
pub static EXPECT: Section = Section {
    heading: "expect",
    about: "The least that a rule gets. One that gets less is `silent`, which is an alert.",
    keys: &[
        key(
            "min",
            Kind::PacketRate(1, 60_000_000_000),
            Preset::Required,
            "packets that it gets at least, over any `within`",
        ),
        key(
            "within",
            Kind::Duration(SECOND / 10, 3_600 * SECOND),
            Preset::Required,
            "the window; at least two packets of `min`",
        ),
    ],
    later: &[],
};

/// `balance`.
pub static BALANCE: Section = Section {
    heading: "balance",
    about: "Outputs that share a rule's packets: each goes to one of them, and the others count it \
            as `not_selected`. A sender stays with its member; only the share of one whose circuit \
            breaker is open, or whose neighbour is silent, goes to the others, until it is back. Shares are as the members' `weight`.",
    keys: &[
        key(
            "by",
            Kind::Choice(&["source", "flow"]),
            Preset::Is("source"),
            "what stays with one member: a source address, or a source and a destination with \
             their UDP ports",
        ),
        key(
            "to",
            Kind::Table("output"),
            Preset::Required,
            "an array of 1 to 16 tables, written as those of `output`",
        ),
    ],
    later: &[],
};

/// `output`.
pub static OUTPUT: Section = Section {
    heading: "output",
    about: "One copy of what the rule matches. A key absent here is taken from its receiver, \
            then from [default.receiver] (with a receiver), then from [default.output].",
    keys: &[
        key(
            "receiver",
            Kind::Other("string", "the name of a receiver"),
            Preset::Told("none"),
            "whose settings it shares",
        ),
        key(
            "destination",
            Kind::Other("string", "an address, or a prefix as long as the input's"),
            Preset::Told("as received"),
            "an address takes all; a prefix keeps the host bits",
        ),
        OUT_PORT,
        OUT_UDP_PORT,
        OUT_VLAN,
        OUT_SOURCE,
        OUT_SOURCE_PORT,
        OUT_TTL,
        OUT_DSCP,
        OUT_MAC,
        OUT_SAMPLE,
        OUT_WEIGHT,
        OUT_QUEUE,
    ],
    later: &[],
};
