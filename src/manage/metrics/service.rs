//! The service thread: owns the listener and its clients, asks management through a mailbox.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Answer, Connection, Status};
use super::text::{self, CONTENT_TYPE};
use crate::config::Detail;
use crate::manage::control::{Order, on_cpus};
use crate::manage::pace::Bell;
use crate::manage::view::View;
use crate::manage::wall;

/// Most clients at once.
pub const CONNECTIONS_MAX: usize = 16;
/// Most orders that wait for management: the thread waits for each.
const ORDERS_MAX: usize = 2;
/// How long management may take; it answers within its tick of a millisecond.
const VIEW_PATIENCE: Duration = Duration::from_secs(1);
/// How long a text is used.
const TEXT_AGE_MAX: Duration = Duration::from_millis(100);
/// A worker whose heartbeat is older stands still, in nanoseconds.
const HEARTBEAT_AGE_MAX: u64 = 100_000_000;
/// How long nobody is let in where the system gave no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Management's side. Dropping it ends the service and its connections.
#[derive(Debug)]
pub struct Http {
    orders: Receiver<Order>,
    is_draining: Arc<AtomicBool>,
    address: SocketAddr,
    /// Its end ends the thread.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// Listens at `address`, and answers from a thread on `cpus`; called on management's.
    ///
    /// # Errors
    /// Where the address is not to be had, or the system gives no thread.
    pub fn start(address: SocketAddr, detail: Detail, cpus: &[u32]) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (orders_in, orders) = mpsc::sync_channel(ORDERS_MAX);
        let (wake, woken) = UnixStream::pair()?;
        let is_draining = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            listener,
            woken,
            orders: orders_in,
            bell: Bell::of_this_thread(),
            is_draining: Arc::clone(&is_draining),
            detail,
            connections: Vec::new(),
            text: None,
        };
        let thread = on_cpus("metrics", cpus, || desk.run())?;
        Ok(Self { orders, is_draining, address, wake: Some(wake), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The orders that wait now; never blocks.
    pub fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        self.orders.try_iter().take(ORDERS_MAX)
    }

    /// Says whether the instance drains: then it is not ready.
    pub fn set_draining(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Ordering::Relaxed);
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // Who waits for a view learns that there will be none.
        self.orders = mpsc::sync_channel(0).1;
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Desk {
    listener: TcpListener,
    woken: UnixStream,
    orders: SyncSender<Order>,
    bell: Bell,
    is_draining: Arc<AtomicBool>,
    detail: Detail,
    connections: Vec<Connection>,
    /// The last text of the metrics, and when it was made.
    text: Option<(Arc<str>, Instant)>,
}

impl Desk {
    fn run(mut self) {
        loop {
            let (is_over, listener, clients) = self.wait();
            if is_over {
                return;
            }
            for (i, flags) in clients.into_iter().enumerate() {
                if let Some(path) = self.connections[i].advance(flags, wall::now()) {
                    let answer = self.answer(&path);
                    self.connections[i].answer(&answer, wall::now());
                }
            }
            self.connections.retain(|connection| !connection.is_closed());
            if listener {
                self.accept(wall::now());
            }
        }
    }

    /// Waits until something can be done: the end, a new client, a client.
    fn wait(&self) -> (bool, bool, Vec<PollFlags>) {
        let mut fds = vec![
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let clients = self.connections.iter();
        fds.extend(clients.map(|client| PollFd::new(client.stream(), client.interest())));
        let first = self.connections.iter().map(Connection::deadline).min();
        let left = first.map(|deadline| deadline.saturating_duration_since(wall::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted, or out of memory: look again, but not in haste.
            std::thread::sleep(Duration::from_millis(1));
            fds.iter_mut().for_each(PollFd::clear_revents);
        }
        let mut flags = fds.iter().map(PollFd::revents);
        let mut is = || flags.next().is_some_and(|flags| !flags.is_empty());
        (is(), is(), flags.collect())
    }

    fn accept(&mut self, now: Instant) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            // No descriptor is free: those who wait go on waiting, and we do not spin.
            Err(_) => return std::thread::sleep(ACCEPT_PAUSE),
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut client = Connection::new(stream, now);
        if self.connections.len() < CONNECTIONS_MAX || self.make_room(now) {
            self.connections.push(client);
        } else {
            // What it has sent is read, lest the answer be lost; then it is closed.
            let _ = client.advance(PollFlags::IN, now);
            client.answer(&too_many(), now);
        }
    }

    /// Gives up the client that gives way most readily; false where none does.
    fn make_room(&mut self, now: Instant) -> bool {
        let clients = self.connections.iter().enumerate();
        let ways = clients.filter_map(|(i, client)| Some((client.gives_way(now)?, i)));
        let Some((_, i)) = ways.min() else {
            return false;
        };
        let mut client = self.connections.swap_remove(i);
        if matches!(client.gives_way(now), Some((1, _))) {
            client.answer(&too_many(), now);
        }
        true
    }

    fn answer(&mut self, path: &str) -> Answer {
        let answer = match path {
            "/metrics" => self.metrics(),
            "/healthz" => self.view().and_then(|view| is_healthy(&view)),
            "/readyz" => self.is_ready(),
            _ => {
                let text = "there are /metrics, /healthz and /readyz";
                return Answer::line(Status::NotFound, text);
            }
        };
        answer.unwrap_or_else(|reason| Answer::line(Status::Unavailable, &reason))
    }

    fn metrics(&mut self) -> Result<Answer, String> {
        let of_now = |at: &Instant| wall::now().duration_since(*at) < TEXT_AGE_MAX;
        let body = match self.text.take().filter(|(_, at)| of_now(at)) {
            Some((body, at)) => {
                self.text = Some((Arc::clone(&body), at));
                body
            }
            None => {
                let view = self.view()?;
                // As old as what it says.
                let at = wall::now();
                let body: Arc<str> = text::render(&view, self.detail).into();
                self.text = Some((Arc::clone(&body), at));
                body
            }
        };
        Ok(Answer { status: Status::Ok, content_type: CONTENT_TYPE, body })
    }

    fn is_ready(&self) -> Result<Answer, String> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Err("it drains".into());
        }
        let report = self.view()?.report(false);
        let late = report.workers.iter().find(|worker| worker.generation != report.generation);
        match late {
            None => Ok(Answer::line(Status::Ok, "ready")),
            Some(worker) => Err(format!(
                "lcore {} goes by plan {}, not yet by {}",
                worker.lcore, worker.generation, report.generation
            )),
        }
    }

    /// Asks management to show the instance.
    fn view(&self) -> Result<View, String> {
        let (reply, view) = mpsc::sync_channel(1);
        let silent = || format!("management has not answered for {} s", VIEW_PATIENCE.as_secs());
        self.orders.try_send(Order::View(reply)).map_err(|_| silent())?;
        self.bell.ring();
        view.recv_timeout(VIEW_PATIENCE).map_err(|_| silent())
    }
}

fn too_many() -> Answer {
    let text = format!("{CONNECTIONS_MAX} connections are open, which is all; try again");
    Answer::line(Status::Unavailable, &text)
}

/// Whether all workers go on.
fn is_healthy(view: &View) -> Result<Answer, String> {
    let report = view.report(false);
    let stalled = report.workers.iter().find(|worker| worker.heartbeat_age_ns > HEARTBEAT_AGE_MAX);
    match stalled {
        None => Ok(Answer::line(Status::Ok, "healthy")),
        Some(worker) => Err(format!(
            "lcore {} has stood still for {} ms; allowed: {} ms",
            worker.lcore,
            worker.heartbeat_age_ns / 1_000_000,
            HEARTBEAT_AGE_MAX / 1_000_000
        )),
    }
}
