//! The kernel's interfaces under ports, as rtnetlink tells of them: whether the link is up, which
//! drivers over sockets do not know, and what the interface dropped of what they had handed to it.
//!
//! The kernel tells of changes on a socket that is read once a tick; nothing is asked for there.
//! What an interface dropped is asked for where a report needs it.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// `RTMGRP_LINK`: changes of links.
const LINKS: u32 = 1;

/// Interfaces by port slot.
#[derive(Debug)]
pub struct Interfaces {
    changes: Socket,
    answers: Socket,
    ports: Vec<Option<Watched>>,
}

/// An interface that is watched.
#[derive(Debug)]
pub struct Watched {
    index: u32,
    is_up: bool,
    /// What it had dropped before we came.
    dropped_before: u64,
}

impl Interfaces {
    /// Watches these interfaces; `None` for a port that has none.
    ///
    /// # Errors
    /// Where the kernel answers no rtnetlink, or does not know an interface.
    pub fn watch<'a>(names: impl Iterator<Item = Option<&'a str>>) -> io::Result<Self> {
        let mut changes = Socket::new(NETLINK_ROUTE)?;
        // In front of the first look, so that no change is between them.
        changes.bind(&SocketAddr::new(0, LINKS))?;
        changes.set_non_blocking(true)?;
        let mut answers = Socket::new(NETLINK_ROUTE)?;
        answers.bind_auto()?;
        answers.connect(&SocketAddr::new(0, 0))?;
        let mut all = Self { changes, answers, ports: vec![] };
        for name in names {
            all.add(all.find(name)?);
        }
        Ok(all)
    }

    /// The interface of a port that is to be watched, as it is now; none where it has none.
    ///
    /// # Errors
    /// Where the kernel does not know it.
    pub fn find(&self, name: Option<&str>) -> io::Result<Option<Watched>> {
        let Some(name) = name else {
            return Ok(None);
        };
        let link = ask(&self.answers, |link| {
            link.attributes.push(LinkAttribute::IfName(name.into()));
        })?;
        let dropped_before = dropped(&link);
        Ok(Some(Watched { index: link.header.index, is_up: is_up(&link), dropped_before }))
    }

    /// Watches the interface of the next port, before anything else is taken in.
    pub fn add(&mut self, interface: Option<Watched>) {
        self.ports.push(interface);
    }

    /// Takes in what has changed; says whether anything has.
    pub fn look(&mut self) -> bool {
        let mut changed = false;
        loop {
            match self.changes.recv_from_full() {
                Ok((bytes, _)) => each_message(&bytes, |message| {
                    changed |= self.ports.iter_mut().flatten().any(|port| port.hears(&message));
                }),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    // Changes came faster than we read: what holds now is asked for.
                    changed = true;
                    self.look_anew();
                }
                Err(_) => return changed,
            }
        }
    }

    fn look_anew(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            let index = port.index;
            let link = ask(&self.answers, |link| link.header.index = index);
            port.is_up = link.is_ok_and(|link| is_up(&link));
        }
    }

    /// Whether a port's link is up; `None` where the port has no interface.
    pub fn is_up(&self, slot: usize) -> Option<bool> {
        self.ports.get(slot)?.as_ref().map(|port| port.is_up)
    }

    /// Frames that a port's interface has dropped instead of sending them: its link was down, or
    /// the other end of a pair had no room. The whole host's.
    pub fn dropped(&self, slot: usize) -> u64 {
        let Some(Some(port)) = self.ports.get(slot) else {
            return 0;
        };
        let link = ask(&self.answers, |link| link.header.index = port.index);
        link.map_or(0, |link| dropped(&link).saturating_sub(port.dropped_before))
    }
}

impl Watched {
    /// Takes in a message; says whether it changed anything.
    fn hears(&mut self, message: &RouteNetlinkMessage) -> bool {
        let up = match message {
            RouteNetlinkMessage::NewLink(link) if link.header.index == self.index => is_up(link),
            RouteNetlinkMessage::DelLink(link) if link.header.index == self.index => false,
            _ => return false,
        };
        std::mem::replace(&mut self.is_up, up) != up
    }
}

fn is_up(link: &LinkMessage) -> bool {
    link.header.flags.contains(LinkFlags::Up | LinkFlags::Running)
}

fn dropped(link: &LinkMessage) -> u64 {
    let stats = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Stats64(stats) => Some(stats.tx_dropped + stats.tx_errors),
        _ => None,
    });
    stats.unwrap_or_default()
}

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether its link is up.
    pub is_up: bool,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// What kind of made-up interface it is, such as `veth`; `None` for a card.
    pub kind: Option<String>,
}

/// Asks what an interface is.
///
/// # Errors
/// Where the kernel does not know it.
pub fn facts(name: &str) -> io::Result<Facts> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let link = ask(&socket, |link| link.attributes.push(LinkAttribute::IfName(name.into())))?;
    let mut facts = Facts { is_up: is_up(&link), mtu: 0, kind: None };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => facts.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => {
                facts.kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(format!("{kind:?}").to_lowercase()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// Asks for one link.
fn ask(socket: &Socket, which: impl FnOnce(&mut LinkMessage)) -> io::Result<LinkMessage> {
    let mut link = LinkMessage::default();
    which(&mut link);
    let question = RouteNetlinkMessage::GetLink(link);
    let mut question = NetlinkMessage::new(NetlinkHeader::default(), question.into());
    question.header.flags = NLM_F_REQUEST;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes);
    match answer.map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        other => Err(io::Error::other(format!("rtnetlink answers {other:?}"))),
    }
}

/// Calls `then` for each message of a datagram; what cannot be read ends it.
fn each_message(mut bytes: &[u8], mut then: impl FnMut(RouteNetlinkMessage)) {
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) {
        let len = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(inner) = message.payload {
            then(inner);
        }
        bytes = match bytes.get(len..) {
            Some(rest) if len > 0 && !rest.is_empty() => rest,
            _ => return,
        };
    }
}
