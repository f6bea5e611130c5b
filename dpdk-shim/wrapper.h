/* The only header that bindgen reads. */
#ifndef SHIM_WRAPPER_H
#define SHIM_WRAPPER_H

#include <stddef.h>
#include <stdint.h>

#include <rte_alarm.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_pdump.h>
#include <rte_ring.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#include "layout.h"

/* eth.c */
uint16_t shim_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t room);
uint16_t shim_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets,
			   uint16_t count);

/* mbuf.c */
void shim_mbuf_free(struct rte_mbuf *packet);
void shim_mbuf_free_segment(struct rte_mbuf *segment);
void shim_mbuf_free_bulk(struct rte_mbuf **packets, unsigned int count);

/* pool.c */
struct rte_mempool *shim_pool_create(const char *name, unsigned int packets, unsigned int cache,
				     uint16_t private_size, uint16_t data_room, int socket,
				     int packed);
int shim_pool_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, unsigned int count);
struct rte_mbuf *shim_pool_alloc(struct rte_mempool *pool);
unsigned int shim_pool_ready(struct rte_mempool *pool);
unsigned int shim_pool_size(const struct rte_mempool *pool);

/* ring.c */
unsigned int shim_ring_enqueue(struct rte_ring *ring, struct rte_mbuf **packets,
			       unsigned int count);
unsigned int shim_ring_dequeue(struct rte_ring *ring, struct rte_mbuf **packets,
			       unsigned int room);
unsigned int shim_ring_count(const struct rte_ring *ring);
unsigned int shim_ring_capacity(const struct rte_ring *ring);

/* clock.c */
uint64_t shim_tsc(void);
void shim_pause(void);

/* thread.c */
int shim_errno(void);
unsigned int shim_lcore_id(void);

/* log.c */
typedef void (*shim_log_sink)(const char *text, size_t length);
int shim_log_to(shim_log_sink sink);

/* telemetry.c */
int shim_telemetry_add_number(struct rte_tel_data *reply, const char *name, uint64_t number);

#endif
