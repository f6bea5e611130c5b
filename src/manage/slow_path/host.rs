//! Who we are at a port.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::wire::MacAddr;

/// Our own addresses at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The port's MAC.
    pub mac: MacAddr,
    /// `address` of the port.
    pub addresses: Vec<IpNet>,
}

impl Host {
    /// Whether the address is one of ours here.
    pub fn owns(&self, address: impl Into<IpAddr>) -> bool {
        let address = address.into();
        self.addresses.iter().any(|own| own.addr() == address)
    }

    /// The address of ours that speaks to `other`: one of a network that holds it, else the first of
    /// its IP version.
    pub fn near(&self, other: IpAddr) -> Option<IpAddr> {
        let own = || self.addresses.iter().filter(|own| own.addr().is_ipv4() == other.is_ipv4());
        own().find(|own| own.contains(&other)).or_else(|| own().next()).map(IpNet::addr)
    }

    /// Whether the address is the broadcast of a network that we are in.
    pub fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        let is_its = |own: &IpNet| match own {
            IpNet::V4(net) => net.prefix_len() < 31 && net.broadcast() == address,
            IpNet::V6(_) => false,
        };
        address.is_broadcast() || self.addresses.iter().any(is_its)
    }
}
