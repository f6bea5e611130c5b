//! net_memif: what the end of such a port needs besides closing it.
//!
//! The driver hears of its peer on EAL's interrupt thread. In DPDK 22.11 that leaves three ways to
//! a crash at the end of a program, each closed here:
//! - A peer goes while its port stops: two threads give everything back. So a port is stopped on
//!   that thread.
//! - A server that is closed frees the event source of the socket it listens on, and EAL goes on
//!   looking at it. So a server is stopped, its socket's file removed, and the rest left to the
//!   exit of the process.
//! - The end of EAL takes away what that thread may be about to look at. So the memory stays.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc;

use super::Eal;

/// The driver's name.
pub(super) const DRIVER: &str = "net_memif";
/// Where it listens where no argument says it.
const SOCKET: &str = "/run/memif.sock";
/// Microseconds until the interrupt thread is woken; the least that it takes.
const SOON: u64 = 1;

/// Ends a port that nobody polls any more. Says whether its device can be taken off its bus.
pub(super) fn end(eal: &Eal, id: u16, device: &str) -> bool {
    eal.pin_memory();
    let serves = is_server(device);
    on_interrupt_thread(move || {
        // SAFETY: the caller's port, which nobody uses any more.
        unsafe {
            dpdk_sys::rte_eth_dev_stop(id);
            if !serves {
                dpdk_sys::rte_eth_dev_close(id);
            }
        }
    });
    if let Some(path) = listener(device) {
        let _ = std::fs::remove_file(path);
    }
    !serves
}

fn is_server(device: &str) -> bool {
    device.split(',').any(|argument| ["role=server", "role=master"].contains(&argument))
}

/// The file that a server's socket has; abstract ones, the driver's default, have none.
fn listener(device: &str) -> Option<&Path> {
    let mut arguments = device.split(',');
    let has_file = arguments.clone().any(|argument| argument == "socket-abstract=no");
    let path = arguments.find_map(|argument| argument.strip_prefix("socket="));
    (has_file && is_server(device)).then(|| Path::new(path.unwrap_or(SOCKET)))
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs the job. A panic must not cross into C.
unsafe extern "C" fn call(argument: *mut c_void) {
    // SAFETY: `argument` is the box that was given up for this one call.
    let job = unsafe { Box::from_raw(argument.cast::<Job>()) };
    let _ = catch_unwind(AssertUnwindSafe(job));
}

/// Runs `work` on EAL's interrupt thread and waits for its end; here where EAL sets no alarm.
fn on_interrupt_thread(work: impl FnOnce() + Send + 'static) {
    let (send, ended) = mpsc::sync_channel(1);
    let job: Job = Box::new(move || {
        work();
        let _ = send.send(());
    });
    let argument = Box::into_raw(Box::new(job)).cast();
    // SAFETY: `call` takes the box back, once.
    if unsafe { dpdk_sys::rte_eal_alarm_set(SOON, Some(call), argument) } != 0 {
        // SAFETY: it was refused, so that the box is still ours.
        unsafe { call(argument) };
    }
    let _ = ended.recv();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_has_a_file() {
        for (device, path) in [
            ("net_memif0,role=server,socket=/a/b,socket-abstract=no", Some("/a/b")),
            ("net_memif0,socket-abstract=no,role=master", Some(SOCKET)),
            ("net_memif0,role=server,socket=/a/b", None),
            ("net_memif0,role=client,socket=/a/b,socket-abstract=no", None),
            ("net_memif0,socket=/a/b,socket-abstract=no", None),
        ] {
            assert_eq!(listener(device), path.map(Path::new), "{device}");
        }
    }
}
