//! `punctual run`.

use super::RunArgs;
use super::exit::{self, Exit};

/// Without DPDK there is nothing that could relay.
pub fn run(_: &RunArgs) -> Exit {
    let message = "this build has no data plane; build it with the feature `dpdk` \
                   (the default) on a host with DPDK 22.11";
    super::fail(exit::UNAVAILABLE, message)
}
