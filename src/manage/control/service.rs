//! The service thread: owns the socket and its clients, asks management through a mailbox.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{
    self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::thread::{CpuSet, sched_setaffinity};

pub use super::connection::PATIENCE;
use super::connection::{Connection, Reloading, Reply, Then, turn_away};
use super::place::{Place, user};
use super::protocol::{
    Capturing, Command, Ended, Planned, Refusal, Reloaded, Shown, Stopped, Timed, Who, code,
    ok_frame,
};
use super::stream::Stream;
use crate::manage::capture::{Feed, Wanted};
use crate::manage::pace::Bell;
use crate::manage::view::View;
use crate::manage::wall;

/// Most clients at once.
pub const CONNECTIONS_MAX: usize = 16;
/// Most orders that wait for management.
const ORDERS_MAX: usize = 8;
/// How long management may take; it is woken, and answers within its next look.
const VIEW_PATIENCE: Duration = Duration::from_secs(1);
/// How long management may take to read a configuration and bring it to the worker.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long the thread itself waits for a reload: longer than nearly all take. The others are
/// looked at every [`LOOK`] while it serves other clients.
const RELOAD_SOON: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(1);
/// How long captures may take for what is left of them when the instance has ended.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long nobody is let in where the system gave no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What management is asked to do.
#[derive(Debug)]
pub enum Order {
    /// To show the instance as it is.
    View(SyncSender<View>),
    /// To go by another configuration: by this file, or by the one in force as it is now.
    Reload(Option<PathBuf>, SyncSender<Result<Reloaded, Refusal>>),
    /// To capture packets.
    Capture(Box<Wanted>, SyncSender<Result<Feed, Refusal>>),
    /// To drain and stop.
    Stop,
}

/// Starts a thread on `cpus`.
///
/// # Errors
/// Where the system gives none.
pub fn on_cpus(
    name: &str,
    cpus: &[u32],
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let mut set = CpuSet::new();
    cpus.iter().map(|cpu| *cpu as usize).filter(|cpu| *cpu < CpuSet::MAX_CPU).for_each(|cpu| {
        set.set(cpu);
    });
    std::thread::Builder::new().name(name.into()).spawn(move || {
        // Where the system refuses, the thread stays where its maker was.
        let _ = sched_setaffinity(None, &set);
        work();
    })
}

/// Management's side of the control socket. Dropping it ends the service and its connections, and
/// removes the socket.
#[derive(Debug)]
pub struct Service {
    place: Option<Place>,
    orders: Option<Receiver<Order>>,
    ended: Sender<Ended>,
    /// A byte wakes the thread, the end of it ends the thread.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts the thread on `cpus`; who calls this takes the orders.
    ///
    /// # Errors
    /// Where the system gives no thread or no socket to wake it.
    pub fn start(
        (listener, place): (UnixListener, Place),
        who: Who,
        cpus: &[u32],
    ) -> std::io::Result<Self> {
        let (orders_in, orders) = mpsc::sync_channel(ORDERS_MAX);
        let (ended, ended_out) = mpsc::channel();
        let (wake, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let desk = Desk {
            listener,
            woken,
            orders: orders_in,
            bell: Bell::of_this_thread(),
            ended: ended_out,
            who,
            connections: Vec::new(),
            end: None,
        };
        let thread = on_cpus("control", cpus, || desk.run())?;
        Ok(Self {
            place: Some(place),
            orders: Some(orders),
            ended,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// The orders that wait now; never blocks.
    pub fn orders(&self) -> impl Iterator<Item = Order> + '_ {
        self.orders.iter().flat_map(|orders| orders.try_iter().take(ORDERS_MAX))
    }

    /// Removes the socket and tells those who asked for the end how it came. Their connections
    /// stay open until this is dropped, so that they see when all has ended.
    pub fn end(&mut self, ended: Ended) {
        self.place = None;
        // Who waits for an answer learns at once that there will be none.
        self.orders = None;
        // A thread that is gone has nobody to tell.
        let _ = self.ended.send(ended);
        if let Some(wake) = &mut self.wake {
            let _ = wake.write_all(&[0]);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.place = None;
        self.orders = None;
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Desk {
    listener: UnixListener,
    woken: UnixStream,
    orders: SyncSender<Order>,
    bell: Bell,
    ended: Receiver<Ended>,
    who: Who,
    connections: Vec<Connection>,
    /// How the run ended, as a frame.
    end: Option<Vec<u8>>,
}

impl Desk {
    fn run(mut self) {
        let mut over_at = None;
        loop {
            let ready = self.wait();
            let now = wall::now();
            if over_at.is_none() && ready.woken && self.is_over() {
                over_at = Some(now + FAREWELL);
            }
            self.tell_the_end(now);
            self.tell_reloads(now);
            for (i, flags) in ready.connections.into_iter().enumerate() {
                if let Some(command) = self.connections[i].advance(flags, now) {
                    self.answer(i, command, now);
                }
            }
            self.connections.retain(|connection| !connection.is_closed());
            if let Some(at) = over_at {
                // What ends a capture is written yet.
                if now >= at || !self.connections.iter().any(Connection::is_streaming) {
                    return;
                }
                continue;
            }
            if ready.listener {
                self.accept(now);
            }
        }
    }

    /// Waits until something can be done.
    fn wait(&self) -> Ready {
        let mut fds = vec![
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let clients = self.connections.iter();
        fds.extend(clients.map(|client| PollFd::new(client.stream(), client.interest())));
        let first = self.connections.iter().filter_map(Connection::deadline).min();
        let left = first.map(|deadline| deadline.saturating_duration_since(wall::now()));
        // A reload's answer wakes nobody.
        let reloads = self.connections.iter().any(|client| client.reloading().is_some());
        let left = if reloads { Some(left.unwrap_or(LOOK).min(LOOK)) } else { left };
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // Interrupted, or out of memory: look again, but not in haste.
            std::thread::sleep(Duration::from_millis(1));
            fds.iter_mut().for_each(PollFd::clear_revents);
        }
        let flags = |fd: &PollFd<'_>| fd.revents();
        Ready {
            woken: !flags(&fds[0]).is_empty(),
            listener: !flags(&fds[1]).is_empty(),
            connections: fds[2..].iter().map(flags).collect(),
        }
    }

    /// Takes the bytes that woke us; true where there will be no more.
    fn is_over(&mut self) -> bool {
        let mut bytes = [0; 16];
        matches!(std::io::Read::read(&mut self.woken, &mut bytes), Ok(0))
    }

    /// Answers those who asked for the end, once it has come.
    fn tell_the_end(&mut self, now: Instant) {
        if let Ok(ended) = self.ended.try_recv() {
            self.end = Some(ok_frame(&Stopped { instance: self.who.clone(), ended }));
        }
        if let Some(end) = &self.end {
            for connection in self.connections.iter_mut().filter(|c| c.is_waiting()) {
                connection.answer(end.clone(), Then::Linger, now);
            }
        }
    }

    /// Answers those whose reload has ended, or takes too long.
    fn tell_reloads(&mut self, now: Instant) {
        for connection in &mut self.connections {
            let Some(Reloading { reply, since }) = connection.reloading() else { continue };
            let answer = match reply.try_recv() {
                Ok(reloaded) => reloaded.map(|reloaded| ok_frame(&reloaded)),
                Err(TryRecvError::Disconnected) => Err(ending()),
                Err(TryRecvError::Empty) if now.duration_since(*since) < RELOAD_PATIENCE => {
                    continue;
                }
                Err(TryRecvError::Empty) => Err(silent(RELOAD_PATIENCE)),
            };
            connection.tell(answer, now);
        }
    }

    fn accept(&mut self, now: Instant) {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            // No descriptor is free: those who wait go on waiting, and we do not spin.
            Err(_) => return std::thread::sleep(ACCEPT_PAUSE),
        };
        // Where even a refusal cannot be sent there is nobody to tell.
        let _ = match self.admits(&stream) {
            Ok(()) => stream.set_nonblocking(true).map(|()| {
                self.connections.push(Connection::new(stream, now));
            }),
            Err(refusal) => turn_away(stream, &refusal),
        };
    }

    /// Whether a client is served: by who it is, and how many there are.
    fn admits(&self, stream: &UnixStream) -> Result<(), Refusal> {
        let ours = user();
        let peer = socket_peercred(stream).map(|peer| peer.uid.as_raw());
        if !peer.is_ok_and(|peer| peer == ours || peer == 0) {
            let message = format!("only user {ours} and root are answered here");
            return Err(Refusal::new(code::DENIED, message));
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            let message =
                format!("{CONNECTIONS_MAX} connections are open, which is all; try again");
            return Err(Refusal::new(code::BUSY, message));
        }
        Ok(())
    }

    fn answer(&mut self, i: usize, command: Command, now: Instant) {
        let instance = self.who.clone();
        let answer = match command {
            Command::Show => {
                self.view().map(|view| ok_frame(&Shown { instance, report: view.report(false) }))
            }
            Command::Latency => {
                self.view().map(|view| ok_frame(&Timed { instance, rules: view.latency() }))
            }
            Command::Plan => {
                self.view().map(|view| ok_frame(&Planned { instance, plan: view.plan() }))
            }
            Command::Reload(file) => {
                let reply = match self.reload(file) {
                    Ok(reply) => reply,
                    Err(refusal) => return self.connections[i].refuse(&refusal, now),
                };
                match reply.recv_timeout(RELOAD_SOON) {
                    Ok(reloaded) => reloaded.map(|reloaded| ok_frame(&reloaded)),
                    Err(RecvTimeoutError::Disconnected) => Err(ending()),
                    Err(RecvTimeoutError::Timeout) => {
                        let reloading = Reloading { reply, since: now };
                        return self.connections[i].wait_for(reloading);
                    }
                }
            }
            Command::Capture(wanted) => match self.capture(wanted, now) {
                Ok(stream) => return self.connections[i].stream_capture(stream),
                Err(refusal) => Err(refusal),
            },
            Command::Stop => match self.order(Order::Stop) {
                Ok(()) => return self.connections[i].wait(),
                Err(refusal) => Err(refusal),
            },
        };
        self.connections[i].tell(answer, now);
    }

    /// Asks management to show the instance.
    fn view(&self) -> Result<View, Refusal> {
        let (reply, view) = mpsc::sync_channel(1);
        self.order(Order::View(reply))?;
        receive(&view, VIEW_PATIENCE)
    }

    /// Asks management to go by another configuration.
    fn reload(&self, file: Option<PathBuf>) -> Result<Reply, Refusal> {
        let (reply, reloaded) = mpsc::sync_channel(1);
        self.order(Order::Reload(file, reply)).map(|()| reloaded)
    }

    /// Asks management to capture.
    fn capture(&self, wanted: Box<Wanted>, now: Instant) -> Result<Stream, Refusal> {
        let (reply, feed) = mpsc::sync_channel(1);
        let of = wanted.words();
        self.order(Order::Capture(wanted, reply))?;
        let feed = receive(&feed, VIEW_PATIENCE)??;
        let instance = self.who.clone();
        let begun = ok_frame(&Capturing { instance: instance.clone(), of, snap: feed.snap });
        Ok(Stream::new(feed, instance, begun, now))
    }

    /// Puts an order into the mailbox; never waits.
    fn order(&self, order: Order) -> Result<(), Refusal> {
        let put = self.orders.try_send(order).map(|()| self.bell.ring());
        put.map_err(|error| match error {
            TrySendError::Full(_) => {
                let message =
                    format!("{ORDERS_MAX} orders wait for management, which is all; try again");
                Refusal::new(code::BUSY, message)
            }
            TrySendError::Disconnected(_) => ending(),
        })
    }
}

/// Waits so long for management.
fn receive<T>(reply: &Receiver<T>, patience: Duration) -> Result<T, Refusal> {
    reply.recv_timeout(patience).map_err(|error| match error {
        RecvTimeoutError::Timeout => silent(patience),
        RecvTimeoutError::Disconnected => ending(),
    })
}

fn silent(patience: Duration) -> Refusal {
    let seconds = patience.as_secs();
    let message = format!("management has not answered for {seconds} s; try again");
    Refusal::new(code::BUSY, message)
}

fn ending() -> Refusal {
    Refusal::new(
        code::ENDING,
        "the instance has ended its work; its report is at its standard output",
    )
}

/// What can be done.
struct Ready {
    woken: bool,
    listener: bool,
    connections: Vec<PollFlags>,
}
