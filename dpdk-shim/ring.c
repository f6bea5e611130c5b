#include "wrapper.h"

unsigned int shim_ring_enqueue(struct rte_ring *ring, struct rte_mbuf **packets, unsigned int count)
{
	return rte_ring_enqueue_burst(ring, (void **)packets, count, NULL);
}

unsigned int shim_ring_dequeue(struct rte_ring *ring, struct rte_mbuf **packets, unsigned int room)
{
	return rte_ring_dequeue_burst(ring, (void **)packets, room, NULL);
}

unsigned int shim_ring_count(const struct rte_ring *ring)
{
	return rte_ring_count(ring);
}

unsigned int shim_ring_capacity(const struct rte_ring *ring)
{
	return rte_ring_get_capacity(ring);
}
