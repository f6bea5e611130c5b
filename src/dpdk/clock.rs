//! The processor's time stamp counter as a clock.

use crate::packet::{Clock, Ticks};

/// The time stamp counter. One lcore's readings only go forward; those of two lcores agree where
/// the TSC is constant and does not stop, as on every server of the last ten years.
#[derive(Clone, Copy, Debug)]
pub struct TscClock {
    hz: u64,
}

impl TscClock {
    /// The clock, with the frequency that EAL measured at its start.
    pub fn new(_eal: &super::Eal) -> Self {
        // SAFETY: reads a number that EAL stored; `_eal` shows that it has started.
        let hz = unsafe { dpdk_sys::rte_get_tsc_hz() };
        Self { hz }
    }
}

impl Clock for TscClock {
    #[inline]
    fn now(&self) -> Ticks {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: user code may read the TSC wherever DPDK runs.
        return unsafe { core::arch::x86_64::_rdtsc() };
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: as above, through DPDK's own inline function.
        return unsafe { dpdk_sys::shim_tsc() };
    }

    fn ticks_per_second(&self) -> u64 {
        self.hz
    }
}
