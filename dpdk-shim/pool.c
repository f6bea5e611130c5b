#include "wrapper.h"

/* rte_pktmbuf_pool_create with one choice more: packed objects may cross pages, which devices that
 * read physical memory could not follow. */
struct rte_mempool *shim_pool_create(const char *name, unsigned int packets, unsigned int cache,
				     uint16_t private_size, uint16_t data_room, int socket,
				     int packed)
{
	struct rte_pktmbuf_pool_private sizes = {
		.mbuf_data_room_size = data_room,
		.mbuf_priv_size = private_size,
	};
	unsigned int element = sizeof(struct rte_mbuf) + private_size + data_room;
	unsigned int flags = packed ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0;
	struct rte_mempool *pool = rte_mempool_create_empty(name, packets, element, cache,
							    sizeof(sizes), socket, flags);
	int code;

	if (pool == NULL)
		return NULL;
	code = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	if (code == 0) {
		rte_pktmbuf_pool_init(pool, &sizes);
		code = rte_mempool_populate_default(pool);
	}
	if (code < 0) {
		rte_mempool_free(pool);
		rte_errno = -code;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

/* What rte_pktmbuf_reset does, in fewer stores: buffers come back to a pool with one owner, as one
 * segment and without a next one (rte_pktmbuf_prefree_seg), and ours lie in no other's memory. */
static inline void reset(struct rte_mbuf *packet)
{
	const struct {
		uint16_t data_off, refcnt, nb_segs, port;
	} fresh = {RTE_PKTMBUF_HEADROOM, 1, 1, RTE_MBUF_PORT_INVALID};

	memcpy(packet->rearm_data, &fresh, sizeof fresh);
	packet->ol_flags = 0;
	packet->packet_type = 0;
	packet->pkt_len = 0;
	packet->data_len = 0;
	packet->vlan_tci = 0;
	packet->vlan_tci_outer = 0;
	packet->tx_offload = 0;
}

int shim_pool_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count)
{
	if (rte_mempool_get_bulk(pool, (void **)packets, count) != 0)
		return -1;
	for (unsigned int i = 0; i < count; i++)
		reset(packets[i]);
	return 0;
}

struct rte_mbuf *shim_pool_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

/* What the caller could allocate now: the pool's own count (rte_ring_count for the default ops;
 * rte_mempool_ops_get_count is not exported) and the cache of the caller's lcore. The caches of
 * other lcores are out of its reach; rte_mempool_avail_count walks all of them. */
unsigned int shim_pool_ready(struct rte_mempool *pool)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, rte_lcore_id());

	return rte_mempool_get_ops(pool->ops_index)->get_count(pool) +
	       (cache != NULL ? cache->len : 0);
}

unsigned int shim_pool_size(const struct rte_mempool *pool)
{
	return pool->size;
}
