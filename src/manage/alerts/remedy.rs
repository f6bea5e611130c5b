//! What to do about each kind of alert, in a line.

use crate::config::AlertKind;
use crate::packet::DropReason;

/// The remedy.
pub const fn of(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::Missed => {
            "the worker is too slow for the input, or was kept from its CPU: give it a CPU of its \
             own, relay less, or police the sender"
        }
        AlertKind::NoMbuf => "raise memory.packets",
        AlertKind::RxErrors => "look at cable, optics and the sender's MTU",
        AlertKind::TxErrors => "look at the port's link and its driver's statistics",
        AlertKind::Dropped(reason) => of_reason(reason),
        AlertKind::DeadlineMisses => {
            "`punctual show outputs --sort late_sent` says which; raise the budget, or send less \
             to that port"
        }
        AlertKind::Pool => {
            "something does not take what it is sent, or memory is short: look at `punctual show \
             ports`, then raise memory.packets and memory.headers"
        }
        AlertKind::LogDropped => "look at what reads the standard error stream",
        AlertKind::Unreachable => {
            "a host or router refuses copies: `punctual show outputs --sort unreachable` says whose; \
             start what should receive them, or look at its firewall and routes"
        }
        AlertKind::Breaker => "look at what reads from it",
        AlertKind::Stalled => {
            "look at what else runs on its CPU, and whether its driver waits in the kernel"
        }
        AlertKind::Generation => "it may be stalled: `punctual show workers` says",
        AlertKind::Silent => "look at the sender, the switch and group membership",
    }
}

const fn of_reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Foreign | DropReason::Segmented => {
            "the driver hands over buffers that cannot be relayed: look for another driver or \
             its arguments"
        }
        DropReason::Truncated
        | DropReason::IpHeader
        | DropReason::IpLength
        | DropReason::IpChecksum
        | DropReason::UdpLength
        | DropReason::UdpChecksum
        | DropReason::Martian => "a sender is broken, or something on the way: capture the input",
        DropReason::OwnSource => {
            "there is a loop: look for a switch or router that sends back what is sent"
        }
        DropReason::NotIp | DropReason::NotUdp => {
            "the input carries more than UDP: move the rest elsewhere, or set the alert off"
        }
        DropReason::Ttl => "the sender's TTL is too small: raise it there, or set `ttl` here",
        DropReason::Fragment => {
            "the sender's datagrams exceed its MTU: make them shorter, or relay fragments by a \
             rule of their own (`fragments = \"forward\"`)"
        }
        DropReason::PuntFull => {
            "someone floods a port with ARP, ICMP or group messages: capture the input; what is \
             relayed does not suffer"
        }
        DropReason::NoRule | DropReason::Policed => "none: this is no loss",
        DropReason::Source => {
            "someone else sends to this destination: look at `source` of the rule"
        }
        DropReason::HandoffFull => {
            "a worker cannot keep up with what others hand it: `punctual show workers` says which is \
             busy; give it less to do, or more workers"
        }
        DropReason::PoolPressure => "raise memory.packets; look for a port that takes nothing",
        DropReason::IngressFull => {
            "the CPU is overloaded: `punctual show rules --sort dropped.ingress_full` says where; \
             relay less or police the sender"
        }
        DropReason::Late => {
            "packets wait too long for the CPU: raise the budget, or relay less on this worker"
        }
        DropReason::BreakerOpen => "a port or receiver is given up: see its own alert",
        DropReason::Unresolved => {
            "a receiver does not answer ARP or ND: `punctual show neighbours` says which; look at the \
             host, or at address, route and gateway of the port"
        }
        DropReason::HeaderAlloc => "raise memory.headers",
        DropReason::Mtu => "raise the output port's mtu, or have senders send shorter packets",
        DropReason::EgressFull => {
            "an output gets more than its port takes: `punctual show outputs --sort \
             dropped.egress_full` says which; send less to it or raise its `queue`"
        }
        DropReason::EgressLate => {
            "an output's port is overloaded: `punctual show outputs --sort dropped.egress_late` \
             says which; send less to it or raise the budget"
        }
        DropReason::Removed => "none: a reload removed what they waited for",
        DropReason::Stopped => "none: the instance stops, and the drain ran out of time",
    }
}
