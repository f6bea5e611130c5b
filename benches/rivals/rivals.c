/* The rivals' loops: what DPDK's libraries have for what our stages do, called as their documentation
 * says and compiled as DPDK itself is. Each loop handles so many packets in bursts of 32, as ours does,
 * and says what came of it, so that both can be held against each other. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_meter.h>
#include <rte_net.h>
#include <rte_sched.h>
#include <rte_udp.h>

#define BURST 32
/* Empty answers of a scheduler in a row, after which it is taken to have stopped. */
#define PATIENCE 1000000

struct answer {
    uint64_t count, sum;
};

/* --- rte_mempool: buffers of the pool that `one` is of. ---------------------------------------- */

/* So many are taken and given back, a burst at a time. */
struct answer rivals_pool_cycle(const struct rte_mbuf *one, uint64_t packets)
{
    struct rte_mempool *pool = one->pool;
    struct answer answer = { 0, 0 };

    for (uint64_t at = 0; at < packets; at += BURST) {
        struct rte_mbuf *burst[BURST];

        if (unlikely(rte_pktmbuf_alloc_bulk(pool, burst, BURST) != 0))
            return answer;
        answer.count += BURST;
        rte_pktmbuf_free_bulk(burst, BURST);
    }
    return answer;
}

/* --- rte_net: DPDK's own parser, and what it leaves to be checked. ------------------------------ */

/* Bytes in front of the UDP header of a datagram that is whole, or 0. */
static inline uint32_t udp_of(const struct rte_mbuf *packet)
{
    struct rte_net_hdr_lens lens;
    uint32_t type = rte_net_get_ptype(packet, &lens, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
    uint32_t left = packet->pkt_len - lens.l2_len, at = (uint32_t)lens.l2_len + lens.l3_len;
    const char *ip = rte_pktmbuf_mtod_offset(packet, const char *, lens.l2_len);
    const struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(packet, const struct rte_udp_hdr *, at);
    uint32_t length, datagram;

    if (unlikely((type & RTE_PTYPE_L4_MASK) != RTE_PTYPE_L4_UDP))
        return 0;
    if (RTE_ETH_IS_IPV4_HDR(type)) {
        const struct rte_ipv4_hdr *header = (const struct rte_ipv4_hdr *)ip;

        length = rte_be_to_cpu_16(header->total_length);
        if (unlikely(header->time_to_live == 0 || rte_ipv4_cksum(header) != 0))
            return 0;
    } else {
        const struct rte_ipv6_hdr *header = (const struct rte_ipv6_hdr *)ip;

        length = (uint32_t)sizeof(*header) + rte_be_to_cpu_16(header->payload_len);
        if (unlikely(header->hop_limits == 0))
            return 0;
    }
    datagram = (uint32_t)lens.l3_len + rte_be_to_cpu_16(udp->dgram_len);
    if (unlikely(length > left || datagram > length))
        return 0;
    return at;
}

/* Datagrams among `count` packets, and the sum of where their UDP headers are. */
struct answer rivals_parse(struct rte_mbuf *const *packets, uint64_t count)
{
    struct answer answer = { 0, 0 };

    for (uint64_t i = 0; i < count; i++) {
        uint32_t at = udp_of(packets[i]);

        answer.count += at != 0;
        answer.sum += at;
    }
    return answer;
}

/* --- rte_hash: keys of 8 or 32 bytes, a word of data each. ------------------------------------- */

static uint32_t hash_word(const void *key, uint32_t length, uint32_t seed)
{
    uint64_t word;

    (void)length;
    memcpy(&word, key, sizeof(word));
    return rte_hash_crc_8byte(word, seed);
}

static int compare_word(const void *one, const void *other, size_t length)
{
    uint64_t a, b;

    (void)length;
    memcpy(&a, one, sizeof(a));
    memcpy(&b, other, sizeof(b));
    return a != b;
}

/* One thread reads and nobody writes, so there is no lock to ask for. */
struct rte_hash *rivals_hash_create(const char *name, uint32_t places, uint32_t key_length)
{
    struct rte_hash_parameters parameters = {
        .name = name,
        .entries = places,
        .key_len = key_length,
        .hash_func = key_length == sizeof(uint64_t) ? hash_word : rte_hash_crc,
        .socket_id = SOCKET_ID_ANY,
    };
    struct rte_hash *made = rte_hash_create(&parameters);

    /* DPDK has comparisons of its own for 32 bytes, and only memcmp for 8. */
    if (made != NULL && key_length == sizeof(uint64_t))
        rte_hash_set_cmp_func(made, compare_word);
    return made;
}

int rivals_hash_add(struct rte_hash *hash, const void *key, uint64_t data)
{
    return rte_hash_add_key_data(hash, key, (void *)(uintptr_t)data);
}

void rivals_hash_free(struct rte_hash *hash)
{
    rte_hash_free(hash);
}

/* `packets` is a multiple of a burst; hits, and the sum of their data. */
struct answer rivals_hash_find(const struct rte_hash *hash, const uint8_t *keys, uint32_t key_length,
                               uint64_t packets)
{
    struct answer answer = { 0, 0 };

    for (uint64_t at = 0; at < packets; at += BURST, keys += (size_t)BURST * key_length) {
        const void *burst[BURST];
        void *data[BURST];
        uint64_t hits = 0;

        for (unsigned i = 0; i < BURST; i++)
            burst[i] = keys + (size_t)i * key_length;
        rte_hash_lookup_bulk_data(hash, burst, BURST, &hits, data);
        for (unsigned i = 0; i < BURST; i++) {
            if (likely(hits >> i & 1)) {
                answer.count++;
                answer.sum += (uintptr_t)data[i];
            }
        }
    }
    return answer;
}

/* --- rte_meter: srTCM without an excess burst, which is a token bucket. ------------------------ */

struct meters {
    struct rte_meter_srtcm_profile profile;
    struct rte_meter_srtcm each[];
};

struct offered {
    uint32_t flow, bytes;
};

/* `period` is set to the ticks that a byte takes. NULL where there is no memory or DPDK refuses. */
struct meters *rivals_meters_create(uint32_t count, uint64_t bytes_per_second, uint64_t burst,
                                    uint64_t *period)
{
    struct rte_meter_srtcm_params params = { .cir = bytes_per_second, .cbs = burst, .ebs = 0 };
    size_t size = sizeof(struct meters) + (size_t)count * sizeof(struct rte_meter_srtcm);
    struct meters *made = rte_zmalloc("meters", size, RTE_CACHE_LINE_SIZE);

    if (made == NULL)
        return NULL;
    if (rte_meter_srtcm_profile_config(&made->profile, &params) != 0 ||
        made->profile.cir_bytes_per_period != 1) {
        rte_free(made);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        rte_meter_srtcm_config(&made->each[i], &made->profile);
        /* Time is what the bench says it is. */
        made->each[i].time = 0;
    }
    *period = made->profile.cir_period;
    return made;
}

void rivals_meters_free(struct meters *meters)
{
    rte_free(meters);
}

/* The burst at `times[i]` ticks behind `start`; packets that pass, and the sum of their bytes. */
struct answer rivals_meters_check(struct meters *meters, const struct offered *offered,
                                  const uint64_t *times, uint64_t start, uint64_t packets)
{
    struct answer answer = { 0, 0 };

    for (uint64_t at = 0; at < packets; at += BURST) {
        uint64_t now = start + times[at / BURST];

        for (unsigned i = 0; i < BURST; i++) {
            struct offered one = offered[at + i];

            if (rte_meter_srtcm_color_blind_check(&meters->each[one.flow], &meters->profile, now,
                                                  one.bytes) == RTE_COLOR_GREEN) {
                answer.count++;
                answer.sum += one.bytes;
            }
        }
    }
    return answer;
}

/* --- rte_sched: a port of one subport; an output is a pipe, its class a traffic class. --------- */

/* So fast that no token bucket of the hierarchy ever holds a packet up: 100 Gbit/s in bytes. */
#define RATE (100000000000ULL / 8)
#define TB_SIZE 1000000
#define TC_PERIOD 10 /* ms */
/* The smallest queues that do: the bench never has more than one packet in each. */
#define QUEUE 8

struct rte_sched_port *rivals_sched_create(uint32_t pipes, uint32_t mtu, uint32_t overhead)
{
    struct rte_sched_subport_profile_params subport_profile = {
        .tb_rate = RATE, .tb_size = TB_SIZE, .tc_period = TC_PERIOD
    };
    struct rte_sched_pipe_params pipe = {
        .tb_rate = RATE, .tb_size = TB_SIZE, .tc_period = TC_PERIOD, .tc_ov_weight = 1,
        .wrr_weights = { 1, 1, 1, 1 }
    };
    struct rte_sched_subport_params subport = {
        .n_pipes_per_subport_enabled = pipes, .pipe_profiles = &pipe, .n_pipe_profiles = 1,
        .n_max_pipe_profiles = 1
    };
    struct rte_sched_port_params port = {
        .name = "rival", .socket = (int)rte_socket_id(), .rate = RATE, .mtu = mtu,
        .frame_overhead = overhead, .n_subports_per_port = 1, .subport_profiles = &subport_profile,
        .n_subport_profiles = 1, .n_max_subport_profiles = 1, .n_pipes_per_subport = pipes
    };
    struct rte_sched_port *made;

    for (unsigned i = 0; i < RTE_SCHED_TRAFFIC_CLASSES_PER_PIPE; i++)
        subport_profile.tc_rate[i] = RATE;
    /* Two classes of strict priority, and best effort: as many as we have. */
    for (unsigned i = 0; i < 3; i++) {
        unsigned class = i < 2 ? i : RTE_SCHED_TRAFFIC_CLASS_BE;

        pipe.tc_rate[class] = RATE;
        subport.qsize[class] = QUEUE;
    }
    made = rte_sched_port_config(&port);
    if (made == NULL)
        return NULL;
    if (rte_sched_subport_config(made, 0, &subport, 0) != 0) {
        rte_sched_port_free(made);
        return NULL;
    }
    for (uint32_t i = 0; i < pipes; i++) {
        if (rte_sched_pipe_config(made, 0, i, 0) != 0) {
            rte_sched_port_free(made);
            return NULL;
        }
    }
    return made;
}

/* Puts a packet into the queue of `pipe` for `class` (0 to 2); false where it was dropped. */
bool rivals_sched_put(struct rte_sched_port *port, struct rte_mbuf *packet, uint32_t pipe, uint32_t class)
{
    uint32_t traffic_class = class < 2 ? class : RTE_SCHED_TRAFFIC_CLASS_BE;

    rte_sched_port_pkt_write(port, packet, 0, pipe, traffic_class, 0, RTE_COLOR_GREEN);
    return rte_sched_port_enqueue(port, &packet, 1) == 1;
}

/* The next packet and its pipe, or NULL. */
struct rte_mbuf *rivals_sched_take(struct rte_sched_port *port, uint32_t *pipe)
{
    uint32_t subport, class, queue;
    struct rte_mbuf *packet = NULL;

    for (unsigned i = 0; i < PATIENCE && packet == NULL; i++)
        rte_sched_port_dequeue(port, &packet, 1);
    if (packet != NULL)
        rte_sched_port_pkt_read_tree_path(port, packet, &subport, pipe, &class, &queue);
    return packet;
}

/* So many packets are taken out and put back behind the others of their queues. How many came out, and
 * how many of them were put back. */
struct answer rivals_sched_cycle(struct rte_sched_port *port, uint64_t packets)
{
    struct rte_mbuf *burst[BURST];
    struct answer answer = { 0, 0 };
    unsigned idle = 0;

    while (answer.count < packets && idle < PATIENCE) {
        uint64_t left = packets - answer.count;
        int taken = rte_sched_port_dequeue(port, burst, left < BURST ? (uint32_t)left : BURST);

        if (unlikely(taken <= 0)) {
            idle++;
            continue;
        }
        idle = 0;
        answer.count += (unsigned)taken;
        answer.sum += (unsigned)rte_sched_port_enqueue(port, burst, (unsigned)taken);
    }
    return answer;
}

void rivals_sched_free(struct rte_sched_port *port)
{
    rte_sched_port_free(port);
}
