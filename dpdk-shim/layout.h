/* Where the fields of struct rte_mbuf lie that Rust reads and writes: the one list.
 * layout.c holds it against DPDK's headers, src/mbuf.rs holds the Rust view against it. */
#ifndef SHIM_LAYOUT_H
#define SHIM_LAYOUT_H

#define SHIM_MBUF_SIZE 128

#define SHIM_MBUF_BUF_ADDR 0
#define SHIM_MBUF_DATA_OFF 16
#define SHIM_MBUF_REFCNT 18
#define SHIM_MBUF_NB_SEGS 20
#define SHIM_MBUF_PORT 22
#define SHIM_MBUF_OL_FLAGS 24
#define SHIM_MBUF_PKT_LEN 36
#define SHIM_MBUF_DATA_LEN 40
#define SHIM_MBUF_VLAN_TCI 42
#define SHIM_MBUF_BUF_LEN 54
#define SHIM_MBUF_POOL 56
#define SHIM_MBUF_NEXT 64
#define SHIM_MBUF_PRIV_SIZE 88
#define SHIM_MBUF_DYNFIELD1 92

/* ol_flags: the data lies in another mbuf or in a buffer from elsewhere. */
#define SHIM_MBUF_INDIRECT 0x4000000000000000ULL
#define SHIM_MBUF_EXTERNAL 0x2000000000000000ULL

/* Offloads and hash types, which DPDK writes as macros that bindgen cannot read. */
#define SHIM_RX_SCATTER 0x2000ULL
#define SHIM_TX_MULTI_SEGS 0x8000ULL
#define SHIM_RSS_IP_UDP 0x2abacULL

#endif
