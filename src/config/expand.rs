//! Rows: what prefixes and port ranges expand into.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::types::Rule;

/// Exact rows of a rule: addresses x UDP ports (`any` is one). Saturates.
pub fn rows(rule: &Rule) -> u64 {
    let count = rule.input.destination.iter().map(address_count).fold(0, u64::saturating_add);
    let ports = rule.input.udp_port.map_or(1, |r| u64::from(r.last) - u64::from(r.first) + 1);
    count.saturating_mul(ports)
}

/// Addresses of a prefix, network and broadcast included. Saturates.
pub fn address_count(net: &IpNet) -> u64 {
    let host_bits = u32::from(net.max_prefix_len() - net.prefix_len());
    1u64.checked_shl(host_bits).unwrap_or(u64::MAX)
}

/// The addresses of a prefix in order, network and broadcast included.
pub fn addresses(net: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let (first, last) = ends(net);
    let v4 = matches!(net, IpNet::V4(_));
    (first..=last).map(move |bits| {
        // What came from 32 bits fits in 32 bits.
        if v4 { Ipv4Addr::from(bits as u32).into() } else { Ipv6Addr::from(bits).into() }
    })
}

fn ends(net: &IpNet) -> (u128, u128) {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    (bits(net.network()), bits(net.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_all_its_addresses() {
        let net: IpNet = "239.1.0.252/30".parse().unwrap();
        let all: Vec<_> = addresses(&net).map(|ip| ip.to_string()).collect();
        assert_eq!(all, ["239.1.0.252", "239.1.0.253", "239.1.0.254", "239.1.0.255"]);
        assert_eq!(address_count(&net), 4);
        let net: IpNet = "ff1e::/126".parse().unwrap();
        assert_eq!(addresses(&net).last(), Some("ff1e::3".parse().unwrap()));
        assert_eq!(address_count(&"::/0".parse().unwrap()), u64::MAX);
        assert_eq!(address_count(&"ff00::/64".parse().unwrap()), u64::MAX);
        assert_eq!(addresses(&"10.0.0.1/32".parse().unwrap()).count(), 1);
    }
}
