//! The commands on DPDK's telemetry socket: DPDK's threads ask, management shows the instance
//! through a bounded mailbox, the answer is made on the thread that asks.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::telemetry::{Answer, COMMANDS, Value, answer};
use crate::dpdk::{self, DpdkError, Eal, Reply, Unanswered};
use crate::manage::control::Order;
use crate::manage::pace::Bell;
use crate::manage::report::Report;
use crate::manage::wall;

/// Most orders that wait for management: those who ask wait for one another.
const ORDERS_MAX: usize = 1;
/// How long management may take; it answers within its tick of a millisecond.
const VIEW_PATIENCE: Duration = Duration::from_secs(1);
/// How long a report is used.
const REPORT_AGE_MAX: Duration = Duration::from_millis(100);

/// Management's side. Dropping it ends the answers.
#[derive(Debug)]
pub struct Telemetry {
    orders: Receiver<Order>,
    _answers: dpdk::Telemetry,
}

impl Telemetry {
    /// Answers from now on; called on management's thread.
    ///
    /// # Errors
    /// Where DPDK does not take a command.
    pub fn start(eal: &Eal) -> Result<Self, DpdkError> {
        let (orders_in, orders) = mpsc::sync_channel(ORDERS_MAX);
        let desk =
            Mutex::new(Desk { orders: orders_in, bell: Bell::of_this_thread(), report: None });
        let commands = COMMANDS.iter().map(|command| (command.name, command.help));
        let answers = dpdk::Telemetry::answer(eal, commands, move |name, parameter, reply| {
            // Not while the answer is made: others may ask meanwhile.
            let report = desk.lock().unwrap_or_else(PoisonError::into_inner).report()?;
            fill(reply, answer(&report, name, parameter).ok_or(Unanswered)?)
        });
        Ok(Self { orders, _answers: answers? })
    }

    /// The orders that wait now; never blocks.
    pub fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        self.orders.try_iter().take(ORDERS_MAX)
    }
}

/// Where those who ask meet.
struct Desk {
    orders: SyncSender<Order>,
    bell: Bell,
    /// The last report, and when it was made.
    report: Option<(Arc<Report>, Instant)>,
}

impl Desk {
    fn report(&mut self) -> Result<Arc<Report>, Unanswered> {
        let of_now = |at: &Instant| wall::now().duration_since(*at) < REPORT_AGE_MAX;
        if let Some((report, _)) = self.report.as_ref().filter(|(_, at)| of_now(at)) {
            return Ok(Arc::clone(report));
        }
        let (reply, view) = mpsc::sync_channel(1);
        self.orders.try_send(Order::View(reply)).map_err(|_| Unanswered)?;
        self.bell.ring();
        let view = view.recv_timeout(VIEW_PATIENCE).map_err(|_| Unanswered)?;
        // As old as what it says.
        let at = wall::now();
        let report = Arc::new(view.report(false));
        self.report = Some((Arc::clone(&report), at));
        Ok(report)
    }
}

fn fill(reply: &mut Reply, answer: Answer) -> Result<(), Unanswered> {
    match answer {
        Answer::Names(names) => reply.list(names.iter().map(String::as_str)),
        Answer::Values(values) => {
            reply.dictionary();
            values.into_iter().try_for_each(|(name, value)| match value {
                Value::Number(number) => reply.number(&name, number),
                Value::Text(text) => reply.text(&name, &text),
            })
        }
    }
}
