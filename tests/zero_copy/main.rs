//! Nothing is copied, and nothing is written: fan-out on real mbufs, seen by their addresses and
//! by every byte of their buffers.

#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../common/site.rs"]
mod site;

mod refusal;
mod sharing;
mod watched;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        sharing::copies_share_one_payload,
        sharing::one_copy_is_rewritten_in_place,
        sharing::a_datagram_without_payload_shares_nothing,
        sharing::owners_are_the_copies_that_were_built,
        sharing::what_cannot_be_chained_is_copied_and_owns_nothing,
        refusal::what_a_full_ring_refuses_stays_in_order,
        refusal::what_waits_for_a_full_ring_is_given_back_at_the_end,
        refusal::a_worker_on_its_own_lcore_shares_with_another_thread,
    ])
}
