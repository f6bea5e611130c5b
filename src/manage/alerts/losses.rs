//! Losses: once a second, by how much the counters of lost packets have grown; and with them the
//! share of missed deadlines, and how full the pools are.

use std::time::Duration;

use super::book::Reading;
use super::{Drivers, Seen, nanos, remedy};
use crate::config::AlertKind;
use crate::ledger::{Drops, Ledger};
use crate::manage::report::{PoolStatus, PortStatus, total};
use crate::manage::text::grouped;
use crate::packet::DropReason;

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(1);
/// What the drivers count as lost, in the order of [`lost`].
const LOST: [AlertKind; 4] =
    [AlertKind::Missed, AlertKind::NoMbuf, AlertKind::RxErrors, AlertKind::TxErrors];

/// The counters as they were.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    last: Option<Totals>,
}

#[derive(Clone, Debug, Default)]
struct Totals {
    at: Duration,
    /// By port slot.
    ports: Vec<[u64; LOST.len()]>,
    ledger: Ledger,
    late_sent: u64,
    log_dropped: u64,
    unreachable: u64,
}

fn lost(port: &PortStatus) -> [u64; LOST.len()] {
    [port.missed, port.no_mbuf, port.rx_errors, port.tx_errors]
}

impl Losses {
    /// Whether a second has passed.
    pub fn is_due(&self, now: Duration) -> bool {
        self.last.as_ref().is_none_or(|last| now.saturating_sub(last.at) >= PERIOD)
    }

    /// Looks at all counters.
    pub fn look(
        &mut self,
        now: Duration,
        seen: &Seen<'_>,
        drivers: &Drivers,
        note: &mut impl FnMut(Reading<'_>),
    ) {
        drivers.pools.iter().for_each(|pool| note_pool(pool, note));
        let totals = Totals::read(now, seen, drivers);
        // What was lost before the first look is no less lost.
        let first = self.last.is_none();
        let last = self.last.replace(totals).unwrap_or_default();
        let Some(totals) = &self.last else { return };
        let elapsed = if first { PERIOD } else { now - last.at };
        let a_second = |delta: u64| {
            let rate = u128::from(delta) * 1_000_000_000;
            u64::try_from(rate.div_ceil(nanos(elapsed).max(1).into())).unwrap_or(u64::MAX)
        };
        let mut loss = |kind: AlertKind, subject: &str, delta: u64| {
            let value = a_second(delta);
            let text = || match kind {
                AlertKind::Dropped(reason) => {
                    format!("{} a second: {}", grouped(value), reason.meaning())
                }
                _ => format!("{} {}", grouped(value), kind.meaning()),
            };
            let remedy = remedy::of(kind);
            note(Reading { kind, subject, value, count: delta, text: &text, remedy });
        };
        for (slot, (port, now)) in seen.config.ports.iter().zip(&totals.ports).enumerate() {
            let before = last.ports.get(slot).copied().unwrap_or_default();
            for (i, kind) in LOST.into_iter().enumerate() {
                // A driver may begin anew: memif does when its peer goes.
                let delta = now[i].checked_sub(before[i]).unwrap_or(now[i]);
                loss(kind, &port.name, delta);
            }
        }
        for kind in AlertKind::ALL {
            if let AlertKind::Dropped(reason) = kind {
                loss(kind, "instance", totals.dropped(reason) - last.dropped(reason));
            }
        }
        loss(AlertKind::LogDropped, "instance", totals.log_dropped - last.log_dropped);
        loss(AlertKind::Unreachable, "instance", totals.unreachable - last.unreachable);
        note_misses(totals, &last, note);
    }
}

impl Totals {
    fn read(at: Duration, seen: &Seen<'_>, drivers: &Drivers) -> Self {
        let workers = seen.workers.iter().map(|worker| worker.counters);
        let outputs = workers.clone().flat_map(|counters| &counters.outputs);
        Self {
            at,
            ports: drivers.ports.iter().map(lost).collect(),
            log_dropped: drivers.log_dropped,
            unreachable: drivers.unreachable,
            late_sent: outputs.map(|output| output.late_sent.get()).sum(),
            ledger: total(workers.map(|counters| counters.ledger.read())),
        }
    }

    /// What was dropped for a reason, before fan-out and behind it.
    fn dropped(&self, reason: DropReason) -> u64 {
        let of = |drops: &Drops| drops[reason.index()];
        of(&self.ledger.dropped_before) + of(&self.ledger.dropped_after)
    }
}

/// Of 1,000 copies that were sent or dropped, or never made for being late, how many missed their
/// deadline. What waits counts when it ends: it may have come in another second.
fn note_misses(totals: &Totals, last: &Totals, note: &mut impl FnMut(Reading<'_>)) {
    let late = |of: &Totals| of.dropped(DropReason::Late);
    let late_before = late(totals) - late(last);
    let missed = late_before + totals.dropped(DropReason::EgressLate)
        - last.dropped(DropReason::EgressLate)
        // A reload gives an output's counters to another one, from 0.
        + totals.late_sent.saturating_sub(last.late_sent);
    let ended = |of: &Totals| of.ledger.sent + of.ledger.dropped_after.iter().sum::<u64>();
    let copies = ended(totals) - ended(last) + late_before;
    let permille = (missed * 1_000).div_ceil(copies.max(1)).min(1_000);
    note(Reading {
        kind: AlertKind::DeadlineMisses,
        subject: "instance",
        value: permille,
        count: permille,
        text: &|| {
            format!("{} of {} copies missed their deadline", grouped(missed), grouped(copies))
        },
        remedy: remedy::of(AlertKind::DeadlineMisses),
    });
}

fn note_pool(pool: &PoolStatus, note: &mut impl FnMut(Reading<'_>)) {
    let (ours, most) = (pool.ours(), pool.size.saturating_sub(pool.held).max(1));
    let percent = (ours * 100).div_ceil(most);
    note(Reading {
        kind: AlertKind::Pool,
        subject: &pool.name,
        value: percent,
        count: percent,
        text: &|| format!("{} of {} buffers are in use", grouped(ours), grouped(most)),
        remedy: remedy::of(AlertKind::Pool),
    });
}
