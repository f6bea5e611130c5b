//! Worker lcores: EAL's pinned threads, on which one closure runs.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use super::{DpdkError, Eal, Errno};

/// The lcore of the calling thread; `None` on a thread that is not EAL's.
pub fn lcore_id() -> Option<u32> {
    // SAFETY: reads a thread-local integer.
    let id = unsafe { dpdk_sys::shim_lcore_id() };
    (id != u32::MAX).then_some(id)
}

/// The closure panicked; its message went to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {index} panicked")]
pub struct WorkerPanicked {
    /// The worker, counted from 0.
    pub index: usize,
}

/// A closure that runs on a worker lcore. Dropping it waits for the closure's end.
#[derive(Debug)]
pub struct Worker<T> {
    _eal: Eal,
    index: usize,
    lcore: u32,
    result: mpsc::Receiver<T>,
    /// What the closure returned, once it was seen to have ended.
    ended: Option<Result<T, WorkerPanicked>>,
}

impl<T> Worker<T> {
    /// Whether the closure has ended; never waits.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = match self.result.try_recv() {
                Ok(value) => Some(Ok(value)),
                Err(mpsc::TryRecvError::Disconnected) => {
                    Some(Err(WorkerPanicked { index: self.index }))
                }
                Err(mpsc::TryRecvError::Empty) => None,
            };
        }
        self.ended.is_some()
    }

    /// Waits for the closure and returns what it returned.
    pub fn join(mut self) -> Result<T, WorkerPanicked> {
        let panicked = WorkerPanicked { index: self.index };
        let ended = self.ended.take();
        ended.unwrap_or_else(|| self.result.recv().map_err(|_| panicked))
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        // SAFETY: `launch` checked the lcore; waiting for one that is idle returns at once.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore) };
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs the job on the lcore. A panic must not cross into C: it ends here, and the channel that
/// the job owned tells the joiner.
unsafe extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the box that `launch` gave up, for this one call.
    let job = unsafe { Box::from_raw(argument.cast::<Job>()) };
    match catch_unwind(AssertUnwindSafe(job)) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}

/// Runs `work` on worker `index` (counted from 0, in the order of [`EalConfig::worker_cpus`]).
///
/// [`EalConfig::worker_cpus`]: super::EalConfig::worker_cpus
pub fn launch<T, F>(eal: &Eal, index: usize, work: F) -> Result<Worker<T>, DpdkError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let refused = |errno, why| DpdkError::Launch { index, errno, why };
    if index >= eal.workers() {
        let errno = Errno(libc::EINVAL);
        return Err(refused(errno, "there are fewer worker lcores"));
    }
    // Lcore 0 is management.
    let lcore = index as u32 + 1;
    let (send, result) = mpsc::sync_channel(1);
    let job: Job = Box::new(move || {
        let _ = send.send(work());
    });
    let argument = Box::into_raw(Box::new(job));
    // SAFETY: `run` takes the box back, once; EAL has started this lcore.
    let code = unsafe { dpdk_sys::rte_eal_remote_launch(Some(run), argument.cast(), lcore) };
    if let Err(errno) = Errno::check(code) {
        // SAFETY: EAL refused, so `run` will not be called with it.
        drop(unsafe { Box::from_raw(argument) });
        return Err(refused(errno, "the lcore is at work already"));
    }
    Ok(Worker { _eal: eal.clone(), index, lcore, result, ended: None })
}
