#include "wrapper.h"

#define AT(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset), \
		       "rte_mbuf." #field " has moved: see layout.h")

_Static_assert(sizeof(struct rte_mbuf) == SHIM_MBUF_SIZE, "struct rte_mbuf has another size");
AT(buf_addr, SHIM_MBUF_BUF_ADDR);
AT(data_off, SHIM_MBUF_DATA_OFF);
AT(refcnt, SHIM_MBUF_REFCNT);
AT(nb_segs, SHIM_MBUF_NB_SEGS);
AT(port, SHIM_MBUF_PORT);
AT(ol_flags, SHIM_MBUF_OL_FLAGS);
AT(pkt_len, SHIM_MBUF_PKT_LEN);
AT(data_len, SHIM_MBUF_DATA_LEN);
AT(vlan_tci, SHIM_MBUF_VLAN_TCI);
AT(buf_len, SHIM_MBUF_BUF_LEN);
AT(pool, SHIM_MBUF_POOL);
AT(next, SHIM_MBUF_NEXT);
AT(priv_size, SHIM_MBUF_PRIV_SIZE);
AT(dynfield1, SHIM_MBUF_DYNFIELD1);

_Static_assert(SHIM_MBUF_INDIRECT == RTE_MBUF_F_INDIRECT, "the indirect flag has moved");
_Static_assert(SHIM_MBUF_EXTERNAL == RTE_MBUF_F_EXTERNAL, "the external flag has moved");
_Static_assert(SHIM_RX_SCATTER == RTE_ETH_RX_OFFLOAD_SCATTER, "the scatter flag has moved");
_Static_assert(SHIM_TX_MULTI_SEGS == RTE_ETH_TX_OFFLOAD_MULTI_SEGS, "the chain flag has moved");
_Static_assert(SHIM_RSS_IP_UDP == (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP), "the hash types have moved");
