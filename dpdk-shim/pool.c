#include "wrapper.h"

int shim_pool_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, packets, count);
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
