//! Which packets a capture wants: by slots, so that the worker compares numbers.

use super::{Fate, NOBODY, Note};
use crate::packet::DropReason;
use crate::plan::Plan;

/// What of a packet's way is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Packets as they come, and copies as they go.
    Passing {
        /// Packets as received, once it is known whether a rule takes them.
        received: bool,
        /// Copies that a port has accepted, with their new headers.
        sent: bool,
    },
    /// Packets and copies that end early, for one of these reasons: a bit each, by its index.
    Dropped(u64),
}

const _: () = assert!(DropReason::COUNT <= 64, "a bit for each reason");

/// What a capture wants: all that is said must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What of a packet's way.
    pub what: What,
    /// Slot of the rule that it matched.
    pub rule: Option<u32>,
    /// Slot of the receiver that the copy is for.
    pub receiver: Option<u32>,
    /// Slot of the port that it was received on or that the copy is for.
    pub port: Option<u32>,
}

impl Filter {
    /// Whether a packet of which this is known is wanted.
    pub fn wants(&self, note: &Note, plan: &Plan) -> bool {
        let what = match (self.what, note.fate) {
            (What::Passing { sent, .. }, Fate::Sent) => sent,
            (What::Passing { received, .. }, Fate::Matched | Fate::Punted) => received,
            // What matches no rule is received, too, and seen once.
            (What::Passing { received, .. }, Fate::Dropped(_)) => received && note.rule == NOBODY,
            (What::Dropped(reasons), Fate::Dropped(reason)) => reasons >> reason.index() & 1 == 1,
            (What::Dropped(_), _) => false,
        };
        let output = (note.output != NOBODY).then(|| &plan.outputs[note.output as usize]);
        what && self.rule.is_none_or(|rule| rule == note.rule)
            && (self.receiver.is_none() || output.is_some_and(|o| o.receiver == self.receiver))
            && self.port.is_none_or(|port| match output {
                Some(output) => port == output.port || (!note.rewritten && port == note.port),
                None => port == note.port,
            })
    }
}
