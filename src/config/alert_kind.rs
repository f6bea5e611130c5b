//! What there is an alert for, how it is measured, and from where on; `[alerts]` sets the latter.

use super::keys::Kind;
use crate::packet::DropReason;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertKind {
    /// A device dropped frames: its ring was full.
    Missed,
    /// A driver dropped frames: the payload pool was empty.
    NoMbuf,
    /// A device refused frames.
    RxErrors,
    /// A device accepted copies and could not send them.
    TxErrors,
    /// Packets or copies were dropped for a reason that is a loss.
    Dropped(DropReason),
    /// Of 1,000 copies, how many were sent late or dropped for it.
    DeadlineMisses,
    /// A pool of packet buffers is nearly in use, in percent.
    Pool,
    /// Log lines were dropped: the standard error stream is stuck.
    LogDropped,
    /// Others say that copies do not arrive.
    Unreachable,
    /// A circuit breaker is open.
    Breaker,
    /// A worker takes no turn.
    Stalled,
    /// A worker has not taken up the plan in force.
    Generation,
    /// A rule gets less than it expects.
    Silent,
}

/// When an alert is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// From this value on it is information.
    pub info: u64,
    /// Above this value it is a warning.
    pub warning: u64,
}

/// Reasons that are no loss: the configuration says that these packets are not wanted.
const NO_LOSS: [DropReason; 2] = [DropReason::NoRule, DropReason::Policed];
/// Kinds besides drop reasons.
const OTHERS: [AlertKind; 12] = [
    AlertKind::Missed,
    AlertKind::NoMbuf,
    AlertKind::RxErrors,
    AlertKind::TxErrors,
    AlertKind::DeadlineMisses,
    AlertKind::Pool,
    AlertKind::LogDropped,
    AlertKind::Unreachable,
    AlertKind::Breaker,
    AlertKind::Stalled,
    AlertKind::Generation,
    AlertKind::Silent,
];

impl AlertKind {
    /// How many kinds there are.
    pub const COUNT: usize = OTHERS.len() + DropReason::COUNT - NO_LOSS.len();

    /// All of them: ports, drop reasons in the packet's order, the rest.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::Missed; Self::COUNT];
        let (mut n, mut other, mut reason) = (0, 0, 0);
        while other < OTHERS.len() {
            if other == 4 {
                while reason < DropReason::COUNT {
                    let dropped = DropReason::ALL[reason];
                    if !matches!(dropped, DropReason::NoRule | DropReason::Policed) {
                        all[n] = Self::Dropped(dropped);
                        n += 1;
                    }
                    reason += 1;
                }
            }
            all[n] = OTHERS[other];
            n += 1;
            other += 1;
        }
        all
    };

    /// The stable snake_case name in reports and in `[alerts]`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::NoMbuf => "no_mbuf",
            Self::RxErrors => "rx_errors",
            Self::TxErrors => "tx_errors",
            Self::Dropped(reason) => reason.name(),
            Self::DeadlineMisses => "deadline_misses",
            Self::Pool => "pool",
            Self::LogDropped => "log_dropped",
            Self::Unreachable => "unreachable",
            Self::Breaker => "breaker",
            Self::Stalled => "stalled",
            Self::Generation => "generation",
            Self::Silent => "silent",
        }
    }

    /// One line for the operator, with what a threshold counts.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Missed => "frames a second that a device dropped because its ring was full",
            Self::NoMbuf => "frames a second that a driver dropped for want of a buffer",
            Self::RxErrors => "frames a second that a device refused",
            Self::TxErrors => "copies a second that a device accepted and could not send",
            Self::Dropped(reason) => reason.meaning(),
            Self::DeadlineMisses => "of 1,000 copies: those sent late, or dropped for it",
            Self::Pool => "percent of a pool's buffers in use, those at rest in drivers aside",
            Self::LogDropped => "log lines a second that the standard error stream did not take",
            Self::Unreachable => "messages a second (ICMP) that copies did not arrive",
            Self::Breaker => "a circuit breaker is open",
            Self::Stalled => "a worker has taken no turn for 100 ms",
            Self::Generation => "a worker has not taken up a new plan for 1 s",
            Self::Silent => "a rule gets less than its `expect`",
        }
    }

    /// What holds where `[alerts]` says nothing; for what is or is not, any value is a warning.
    pub const fn preset(self) -> Threshold {
        match self {
            Self::Breaker | Self::Stalled | Self::Generation | Self::Silent => {
                Threshold { info: 1, warning: 0 }
            }
            Self::Pool => Threshold { info: 80, warning: 90 },
            _ => Threshold { info: 1, warning: 10 },
        }
    }

    /// Whether it is or is not, and has no threshold.
    pub const fn is_switch(self) -> bool {
        matches!(self, Self::Breaker | Self::Stalled | Self::Generation | Self::Silent)
    }

    /// What its key accepts.
    pub(super) const fn accepts(self) -> Kind {
        match self.is_switch() {
            true => Kind::Choice(&["on", "off"]),
            false => Kind::Other("string or table", "\"off\" or { info = N, warning = N }"),
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        let found = Self::ALL.iter().position(|kind| *kind == self);
        // What is no loss has no place; nothing asks for it.
        found.unwrap_or(0)
    }
}

/// `[alerts]`: the thresholds in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertLimits(pub(super) [Option<Threshold>; AlertKind::COUNT]);

impl Default for AlertLimits {
    fn default() -> Self {
        Self(AlertKind::ALL.map(|kind| Some(kind.preset())))
    }
}

impl AlertLimits {
    /// When there is an alert of this kind; `None` is never.
    pub fn of(&self, kind: AlertKind) -> Option<Threshold> {
        self.0[kind.index()]
    }

    /// Sets when there is an alert of this kind.
    pub fn set(&mut self, kind: AlertKind, threshold: Option<Threshold>) {
        self.0[kind.index()] = threshold;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_kind_and_what_is_no_loss_has_none() {
        for (i, kind) in AlertKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), i, "{kind:?}");
        }
        for reason in DropReason::ALL {
            let has = AlertKind::ALL.contains(&AlertKind::Dropped(*reason));
            assert_eq!(has, !NO_LOSS.contains(reason), "{reason:?}");
        }
        assert_eq!(AlertKind::ALL.last(), Some(&AlertKind::Silent));
    }
}
