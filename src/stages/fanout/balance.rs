//! Which of a rule's balanced outputs a packet goes to.
//!
//! The member that the rendezvous hash gives it. Where a copy for that one would not be made, for its
//! circuit breaker is open or its neighbour does not answer, it is the one that has it among those that
//! take copies. Where none does it is the first again, so that its own reason is counted.

use super::Fanout;
use crate::config::BalanceBy;
use crate::packet::{Packet, PacketPool};
use crate::plan::Plan;
use crate::sched::{key_of, rendezvous};
use crate::stages::Tally;
use crate::wire::{self, Key, Origin};

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
        origin: &Origin,
        outputs: &[u32],
        plan: &Plan,
        tally: &Tally,
    ) -> PassedOver {
        let rule = &plan.rules[packet.meta().rule as usize];
        let Some(balance) = &rule.balance else {
            return PassedOver::NONE;
        };
        let first = outputs.len().saturating_sub(balance.members.len());
        let key = balance_key(packet, balance.by);
        let passes = |member: usize| self.passes(outputs[first + member], origin, plan);
        let Some(own) = rendezvous(&balance.members, key, |_| true) else {
            return PassedOver { first, chosen: usize::MAX };
        };
        if passes(own) {
            return PassedOver { first, chosen: first + own };
        }
        let other = rendezvous(&balance.members, key, passes);
        if let Some(other) = other {
            tally.counters.outputs[outputs[first + other] as usize].taken_over.add(1);
        }
        PassedOver { first, chosen: first + other.unwrap_or(own) }
    }

    /// Whether a copy for this output would be made: its breakers let it pass, and its neighbour is
    /// known or the copy may wait for it.
    fn passes(&self, slot: u32, origin: &Origin, plan: &Plan) -> bool {
        let output = &plan.outputs[slot as usize];
        let known = |hop| self.neighbours.admit(hop, slot, plan);
        self.breakers.would_admit(output.port, output.receiver)
            && output.neighbour(origin).is_none_or(known)
    }
}

/// What stays with one member, as a number.
fn balance_key(packet: &impl Packet, by: BalanceBy) -> u64 {
    let (head, headers) = (packet.head(), &packet.meta().headers);
    let source = wire::source(head, headers);
    match by {
        BalanceBy::Source => key_of(source, 0, 0),
        BalanceBy::Flow => {
            let Key { destination, udp_port, .. } = Key::of(packet);
            let source_port = wire::source_port(head, headers);
            key_of(source, destination, u64::from(source_port) << 16 | u64::from(udp_port))
        }
    }
}
