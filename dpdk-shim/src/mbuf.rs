//! `struct rte_mbuf`, as far as Rust reads it. Written by hand because bindgen turns its unions
//! and zero-length markers into something nobody reads; layout.h keeps it honest on both sides.

use core::ffi::c_void;
use core::mem::offset_of;

use crate::bindings as c;

/// One segment of a packet: 128 bytes, then the private area, then the data.
#[allow(non_camel_case_types)]
#[derive(Debug)]
#[repr(C, align(64))]
pub struct rte_mbuf {
    /// Where the segment's buffer starts.
    pub buf_addr: *mut c_void,
    buf_iova: u64,
    /// Where in the buffer the data starts.
    pub data_off: u16,
    /// Owners of this segment.
    pub refcnt: u16,
    /// Segments in the chain; of meaning in the first one.
    pub nb_segs: u16,
    /// The port that received it.
    pub port: u16,
    /// Offload and buffer flags.
    pub ol_flags: u64,
    packet_type: u32,
    /// Bytes in the chain; of meaning in the first segment.
    pub pkt_len: u32,
    /// Bytes in this segment.
    pub data_len: u16,
    /// The VLAN tag that the NIC has stripped.
    pub vlan_tci: u16,
    hash: [u32; 2],
    vlan_tci_outer: u16,
    /// Bytes in the segment's buffer.
    pub buf_len: u16,
    /// Where it came from and goes back to.
    pub pool: *mut c::rte_mempool,
    /// The next segment.
    pub next: *mut rte_mbuf,
    tx_offload: u64,
    shinfo: *mut c_void,
    /// Bytes in the private area.
    pub priv_size: u16,
    timesync: u16,
    /// Fields that are given out at run time.
    pub dynfield1: [u32; 9],
}

macro_rules! at {
    ($($field:ident $offset:ident,)+) => {
        $(const _: () = assert!(offset_of!(rte_mbuf, $field) == c::$offset as usize);)+
    };
}

const _: () = assert!(size_of::<rte_mbuf>() == c::SHIM_MBUF_SIZE as usize);

at! {
    buf_addr SHIM_MBUF_BUF_ADDR,
    data_off SHIM_MBUF_DATA_OFF,
    refcnt SHIM_MBUF_REFCNT,
    nb_segs SHIM_MBUF_NB_SEGS,
    port SHIM_MBUF_PORT,
    ol_flags SHIM_MBUF_OL_FLAGS,
    pkt_len SHIM_MBUF_PKT_LEN,
    data_len SHIM_MBUF_DATA_LEN,
    vlan_tci SHIM_MBUF_VLAN_TCI,
    buf_len SHIM_MBUF_BUF_LEN,
    pool SHIM_MBUF_POOL,
    next SHIM_MBUF_NEXT,
    priv_size SHIM_MBUF_PRIV_SIZE,
    dynfield1 SHIM_MBUF_DYNFIELD1,
}
