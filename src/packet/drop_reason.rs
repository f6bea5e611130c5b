//! Why a packet's way ended early: one list for the enum, its names and its meanings.

/// Makes the enum, `ALL`, `name` and `meaning` from one list, so that none can be forgotten.
macro_rules! drop_reasons {
    ($($variant:ident $name:literal $meaning:literal,)+) => {
        /// Why a packet or a copy was not sent; each has a counter in the ledger.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $meaning] $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of the packet's way.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// How many reasons there are: the length of a counter array.
            pub const COUNT: usize = Self::ALL.len();

            /// The stable snake_case name in reports and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One line for the operator.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

drop_reasons! {
    Foreign "foreign" "rx: the buffer is not one of ours, shared or indirect",
    Segmented "segmented" "parse: the headers are not in the first segment",
    Truncated "truncated" "parse: the frame ends inside a header",
    OwnSource "own_source" "parse, classify: from a MAC or address of our own ports: a loop",
    NotIp "not_ip" "parse: neither IPv4 nor IPv6, or more than two VLAN tags",
    IpHeader "ip_header" "parse: IP version, header length or extension chain is impossible",
    IpLength "ip_length" "parse: the IP length does not fit the frame",
    IpChecksum "ip_checksum" "parse: the IPv4 header checksum is wrong",
    Martian "martian" "parse: an address that cannot be on the wire, or MAC and IP disagree",
    Ttl "ttl" "the TTL is 0, or 1 where the output decrements it",
    NotUdp "not_udp" "parse: an IP protocol that is neither UDP nor for the slow path",
    Fragment "fragment" "parse: an IP fragment",
    UdpLength "udp_length" "parse: the UDP length does not fit the packet",
    UdpChecksum "udp_checksum" "parse: no UDP checksum where IPv6 requires one",
    PuntFull "punt_full" "parse: the slow path takes no more of it",
    NoRule "no_rule" "classify: no rule matches destination, UDP port, VLAN and input port",
    Source "source" "classify: a rule matches but for its source prefixes",
    HandoffFull "handoff_full" "handoff: the ring to the flow's or the port's worker is full",
    Policed "policed" "police: the flow is over its rate and burst",
    PoolPressure "pool_pressure" "ingress DRR: the payload pool is nearly full, and the class is shed",
    IngressFull "ingress_full" "ingress DRR: the flow's queue is full",
    Late "late" "EDF: the deadline had passed and the rule drops late packets",
    BreakerOpen "breaker_open" "fan-out: the circuit breaker of the port or receiver is open",
    Unresolved "unresolved" "fan-out: the neighbour's MAC is not known, and no more may wait",
    HeaderAlloc "header_alloc" "fan-out: no header buffer for this copy",
    Mtu "mtu" "fan-out: the copy is longer than its port's MTU",
    EgressFull "egress_full" "egress DRR: the output's queue is full",
    EgressLate "egress_late" "egress DRR: the deadline had passed and the rule drops late packets",
    Removed "removed" "EDF, egress DRR: a reload removed its rule or output, and it waited on",
    Stopped "stopped" "the drain at stop ran out of time",
}

impl DropReason {
    /// The reason's place in a counter array.
    pub const fn index(self) -> usize {
        self as usize
    }
}
