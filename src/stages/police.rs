//! Police - a token bucket per flow, in bytes.
//!
//! Expects:  packets with rule and flow.
//! Leaves:   those within rate and burst.
//! Drops:    `policed`.
//! Config:   `rule.police`.
//! Bounds:   O(1) a packet, integer arithmetic; the worker is the bucket's only writer.

use crate::packet::{Burst, DropReason, Packet, keep};
use crate::plan::Plan;

use super::{Flows, Tally};

/// The stage; its buckets are the flows'.
#[derive(Debug, Default)]
pub struct Police;

impl Police {
    /// Polices a burst, each packet at its own arrival.
    pub fn inspect<P: Packet>(
        &self,
        burst: &mut Burst<P>,
        plan: &Plan,
        flows: &mut Flows,
        tally: &mut Tally,
    ) {
        if !plan.polices {
            return;
        }
        keep(burst, |packet| {
            let meta = packet.meta();
            let Some(rate) = &plan.rules[meta.rule as usize].police else {
                return true;
            };
            let bucket = &mut flows.state(meta.flow).bucket;
            let conforms = bucket.conforms(rate, meta.bytes, meta.arrival);
            if !conforms {
                tally.drop_before(DropReason::Policed, packet, plan);
            }
            conforms
        });
    }
}
