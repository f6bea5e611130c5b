//! Which of a rule's balanced outputs a packet goes to.
//!
//! The member that the rendezvous hash gives it, among those whose circuit breakers let copies pass.
//! Where none does it is the one that would have it, so that its breaker is what the drop is counted
//! for.

use super::Fanout;
use crate::config::BalanceBy;
use crate::packet::{Packet, PacketPool};
use crate::plan::Plan;
use crate::sched::{key_of, rendezvous};
use crate::wire::{self, Key};

/// The places of a rule's outputs that a packet does not go to, for another has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PassedOver {
    /// The first that is balanced; behind it all are.
    first: usize,
    /// The one that has it.
    chosen: usize,
}

impl PassedOver {
    const NONE: Self = Self { first: usize::MAX, chosen: usize::MAX };

    /// Whether the output at `place` is passed over.
    #[inline(always)]
    pub(super) fn holds(self, place: usize) -> bool {
        place >= self.first && place != self.chosen
    }
}

impl<O: PacketPool> Fanout<O> {
    /// Which of `outputs`, the packet's rule's, are passed over.
    #[inline]
    pub(super) fn passed_over(
        &self,
        packet: &O::Packet,
        outputs: &[u32],
        plan: &Plan,
    ) -> PassedOver {
        let rule = &plan.rules[packet.meta().rule as usize];
        let Some(balance) = &rule.balance else {
            return PassedOver::NONE;
        };
        let first = outputs.len().saturating_sub(balance.members.len());
        let key = balance_key(packet, balance.by);
        let passes = |member: usize| {
            let output = &plan.outputs[outputs[first + member] as usize];
            self.breakers.would_admit(output.port, output.receiver)
        };
        let member = rendezvous(&balance.members, key, passes)
            .or_else(|| rendezvous(&balance.members, key, |_| true));
        PassedOver { first, chosen: member.map_or(usize::MAX, |member| first + member) }
    }
}

/// What stays with one member, as a number.
fn balance_key(packet: &impl Packet, by: BalanceBy) -> u64 {
    let (head, headers) = (packet.head(), &packet.meta().headers);
    let source = wire::source(head, headers);
    match by {
        BalanceBy::Source => key_of(source, 0, 0),
        BalanceBy::Flow => {
            let Key { destination, udp_port, .. } = Key::read(head, headers);
            let source_port = wire::source_port(head, headers);
            key_of(source, destination, u64::from(source_port) << 16 | u64::from(udp_port))
        }
    }
}
