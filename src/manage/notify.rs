//! What the service manager is told: ready, reloading, stopping, a line of status, and that all
//! workers take turns (`sd_notify(3)`).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is told. A manager that cannot be told is no
//! reason to stop relaying.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// How often the line of status is renewed.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The service manager of this process.
#[derive(Debug)]
pub struct Notify {
    /// It never waits: a manager that does not read hears less.
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that all is well; half of its patience.
    every: Option<Duration>,
    watchdog_due: Duration,
    status_due: Duration,
}

impl Notify {
    /// The one that the environment names, if any.
    pub fn from_environment() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET").and_then(|at| connect(&at).ok()),
            every: sd_notify::watchdog_enabled().map(|patience| patience / 2),
            watchdog_due: Duration::ZERO,
            status_due: Duration::ZERO,
        }
    }

    /// Everything is open, and packets are relayed; or a reload has ended.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// A reload has begun; [`Self::ready`] ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// The drain has begun.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
    }

    /// Tells what is due at `now` since the start: the status, and that all is well where `advance`
    /// says that all workers take turns. A manager that does not hear that restarts the service.
    pub fn tick(&mut self, now: Duration, advance: bool, status: impl FnOnce() -> String) {
        if self.socket.is_none() {
            return;
        }
        if let (Some(every), true) = (self.every, advance && now >= self.watchdog_due) {
            self.watchdog_due = now + every;
            self.tell(&[NotifyState::Watchdog]);
        }
        if now >= self.status_due {
            self.status_due = now + STATUS_EVERY;
            self.tell(&[NotifyState::Status(&status())]);
        }
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let text: String = state.iter().map(|state| format!("{state}\n")).collect();
        // There is nobody else to tell.
        let _ = socket.send(text.as_bytes());
    }
}

/// Connects to a path or, behind an `@`, to an abstract name.
fn connect(at: &OsStr) -> std::io::Result<UnixDatagram> {
    let address = match at.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(at)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
