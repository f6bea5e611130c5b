/* What replication costs on plain DPDK calls: the yardstick of scripts/bench.sh.
 *
 * Frames come from port 0 and leave on port 1, one worker. No rules, no queues, no deadlines and no
 * ledger: what is left is what DPDK itself and the work on headers cost. Three ways:
 *
 *   floor     one copy: the header is rewritten in place. More: a header buffer for each copy, taken
 *             in bulk for the whole burst, chained to the payload, whose count of owners is stored once.
 *   clone     as DPDK's ipv4_multicast sample does for few ports: for each copy rte_pktmbuf_clone and
 *             a header buffer of its own, packet by packet.
 *   refcount  as the sample does for many ports: the payload's count is raised once, and each copy is
 *             a header buffer chained to it, packet by packet.
 *
 * Where there are more ports, a burst's copies for one go to port 1, for the next to port 2, and so on round
 * them (floor alone). With `drain` each port but 0 is also received from, once for each burst of port 0, and what
 * comes is freed: rings bring back what they were sent.
 *
 * floor EAL-OPTIONS -- WAY COPIES SECONDS BUFFERS DATA-ROOM [drain]
 * Prints {"received": N, "sent": N, "refused": N, "ns": N}.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_udp.h>

#define BURST 32
#define COPIES_MAX 64
#define CACHE 256
/* What the sample lets an lcore keep. */
#define SAMPLE_CACHE 32
#define HEADER (RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define HEADER_ROOM (RTE_PKTMBUF_HEADROOM + 64)

/* What a copy has of its own. */
struct output {
    struct rte_ether_addr mac;
    rte_be32_t group;
};

static struct output outputs[COPIES_MAX];
static unsigned copies;
/* Ports that are sent to. */
static uint16_t ports;
static bool drains;
static struct rte_mempool *payloads, *headers, *clones;
static atomic_bool stop;
static uint64_t received, sent, refused, ticks;

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, rte_strerror(rte_errno));
    exit(69);
}

/* The destination is replaced, and the header's checksum by RFC 1624. */
static inline void rewrite(char *frame, const struct output *output)
{
    struct rte_ether_hdr *eth = (struct rte_ether_hdr *)frame;
    struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
    rte_be32_t old = ip->dst_addr, new = output->group;
    uint32_t sum = (uint16_t)~ip->hdr_checksum;

    sum += (uint16_t)~(old & 0xffff);
    sum += (uint16_t)~(old >> 16);
    sum += (new & 0xffff) + (new >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip->hdr_checksum = (uint16_t)~sum;
    ip->dst_addr = new;
    rte_ether_addr_copy(&output->mac, &eth->dst_addr);
}

/* Sends all; what the driver refuses is dropped and counted, as the sample does. */
static inline void transmit(uint16_t port, struct rte_mbuf **burst, uint16_t count)
{
    uint16_t done = 0;

    while (done < count) {
        uint16_t taken = rte_eth_tx_burst(port, 0, burst + done, RTE_MIN(count - done, BURST));

        if (taken == 0)
            break;
        done += taken;
    }
    sent += done;
    if (unlikely(done < count)) {
        refused += count - done;
        rte_pktmbuf_free_bulk(burst + done, count - done);
    }
}

/* A header in front of what remains of `payload`. */
static inline void chain(struct rte_mbuf *header, struct rte_mbuf *payload, const char *frame,
                         const struct output *output)
{
    memcpy(rte_pktmbuf_mtod(header, char *), frame, HEADER);
    rewrite(rte_pktmbuf_mtod(header, char *), output);
    header->data_len = HEADER;
    header->pkt_len = HEADER + payload->pkt_len;
    header->nb_segs = payload->nb_segs + 1;
    header->next = payload;
}

/* A part of a burst: no more copies than the pool's cache gives without its ring. */
static void floor_part(struct rte_mbuf **burst, uint16_t count)
{
    static struct rte_mbuf *out[BURST * COPIES_MAX];
    unsigned next = 0;

    if (copies == 1) {
        for (uint16_t i = 0; i < count; i++)
            rewrite(rte_pktmbuf_mtod(burst[i], char *), &outputs[0]);
        transmit(1, burst, count);
        return;
    }
    if (rte_pktmbuf_alloc_bulk(headers, out, count * copies) != 0) {
        refused += count * copies;
        rte_pktmbuf_free_bulk(burst, count);
        return;
    }
    for (uint16_t i = 0; i < count; i++) {
        struct rte_mbuf *payload = burst[i];
        const char *frame = rte_pktmbuf_mtod(payload, char *);

        rte_pktmbuf_adj(payload, HEADER);
        rte_mbuf_refcnt_set(payload, copies);
        /* Ordered by copy where each has a port of its own. */
        for (unsigned c = 0; c < copies; c++)
            chain(out[ports == 1 ? next++ : c * count + i], payload, frame, &outputs[c]);
    }
    for (unsigned at = 0; at < next; at += BURST)
        transmit(1, out + at, RTE_MIN(next - at, (unsigned)BURST));
    for (unsigned c = 0; ports > 1 && c < copies; c++)
        transmit(1 + c % ports, out + c * count, count);
}

static void floor_burst(struct rte_mbuf **burst, uint16_t count)
{
    uint16_t part = RTE_MAX(CACHE / 2 / copies, 1u);

    for (uint16_t at = 0; at < count; at += part)
        floor_part(burst + at, RTE_MIN(count - at, part));
}

/* Copies of one packet as the sample makes them; `cloned` says which of its two ways. */
static void sample_burst(struct rte_mbuf **burst, uint16_t count, bool cloned)
{
    static struct rte_mbuf *staged[BURST];
    static uint16_t waiting;

    for (uint16_t i = 0; i < count; i++) {
        struct rte_mbuf *payload = burst[i];
        const char *frame = rte_pktmbuf_mtod(payload, char *);

        rte_pktmbuf_adj(payload, HEADER);
        if (!cloned)
            rte_pktmbuf_refcnt_update(payload, (int16_t)copies - 1);
        for (unsigned c = 0; c < copies; c++) {
            bool last = c + 1 == copies;
            struct rte_mbuf *rest = payload, *header = rte_pktmbuf_alloc(headers);

            if (cloned && !last && header != NULL)
                rest = rte_pktmbuf_clone(payload, clones);
            if (unlikely(header == NULL || rest == NULL)) {
                refused++;
                rte_pktmbuf_free(header);
                if (!cloned || last)
                    rte_pktmbuf_free(payload);
                continue;
            }
            chain(header, rest, frame, &outputs[c]);
            staged[waiting++] = header;
            if (waiting == BURST) {
                transmit(1, staged, waiting);
                waiting = 0;
            }
        }
    }
    /* No copy waits for a full burst. */
    transmit(1, staged, waiting);
    waiting = 0;
}

/* A burst of what rings bring back, as whoever reads them would take it. */
static inline void drain(void)
{
    struct rte_mbuf *burst[BURST];

    for (uint16_t port = 1; port <= ports; port++)
        rte_pktmbuf_free_bulk(burst, rte_eth_rx_burst(port, 0, burst, BURST));
}

static int work(void *way)
{
    struct rte_mbuf *burst[BURST];
    bool is_floor = strcmp(way, "floor") == 0, cloned = strcmp(way, "clone") == 0;
    uint64_t start = rte_rdtsc();

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint16_t count = rte_eth_rx_burst(0, 0, burst, BURST);

        received += count;
        if (count == 0)
            continue;
        if (is_floor)
            floor_burst(burst, count);
        else
            sample_burst(burst, count, cloned);
        if (drains)
            drain();
    }
    ticks = rte_rdtsc() - start;
    return 0;
}

/* The sample's pools, and the floor's: as rte_pktmbuf_pool_create makes them, but with buffers that lie
 * one behind the other also on ordinary pages, as those of Punctual do. */
static struct rte_mempool *pool(const char *name, unsigned count, uint16_t room, bool is_sample)
{
    struct rte_pktmbuf_pool_private facts = { .mbuf_data_room_size = room };
    unsigned size = sizeof(struct rte_mbuf) + room;
    struct rte_mempool *made;

    if (is_sample) {
        made = rte_pktmbuf_pool_create(name, count, SAMPLE_CACHE, 0, room, 0);
        if (made == NULL)
            die("a pool");
        return made;
    }
    made = rte_mempool_create_empty(name, count, size, CACHE, sizeof(facts), 0,
                                    RTE_MEMPOOL_F_NO_IOVA_CONTIG);
    if (made == NULL || rte_mempool_set_ops_byname(made, "ring_mp_mc", NULL) != 0)
        die("a pool");
    rte_pktmbuf_pool_init(made, &facts);
    if (rte_mempool_populate_default(made) < 0)
        die("the memory of a pool");
    rte_mempool_obj_iter(made, rte_pktmbuf_init, NULL);
    return made;
}

static void open_port(uint16_t port)
{
    struct rte_eth_conf config = { 0 };

    if (rte_eth_dev_configure(port, 1, 1, &config) != 0 ||
        rte_eth_rx_queue_setup(port, 0, 512, 0, NULL, payloads) != 0 ||
        rte_eth_tx_queue_setup(port, 0, 512, 0, NULL) != 0 || rte_eth_dev_start(port) != 0)
        die("a port");
}

int main(int argc, char **argv)
{
    int used = rte_eal_init(argc, argv);
    unsigned buffers, worker;
    bool is_sample;

    if (used < 0)
        die("EAL");
    argc -= used;
    argv += used;
    ports = rte_eth_dev_count_avail() - 1;
    drains = argc == 7 && strcmp(argv[6], "drain") == 0;
    if (argc != 6 + drains || ports < 1 || ports > COPIES_MAX)
        die("usage: floor EAL-OPTIONS -- floor|clone|refcount COPIES SECONDS BUFFERS DATA-ROOM [drain]");
    copies = (unsigned)atoi(argv[2]);
    buffers = (unsigned)atoi(argv[4]);
    worker = rte_get_next_lcore(-1, 1, 0);
    if (copies == 0 || copies > COPIES_MAX || worker >= RTE_MAX_LCORE)
        die("1 to 64 copies, and a second lcore");
    for (unsigned i = 0; i < copies; i++) {
        outputs[i].group = rte_cpu_to_be_32(RTE_IPV4(239, 100 + i, 0, 1));
        outputs[i].mac = (struct rte_ether_addr){ { 1, 0, 0x5e, (100 + i) & 0x7f, 0, 1 } };
    }
    is_sample = strcmp(argv[1], "floor") != 0;
    if (is_sample && ports > 1)
        die("the sample's ways send to one port");
    payloads = pool("payloads", buffers, (uint16_t)atoi(argv[5]), is_sample);
    headers = pool("headers", 16384, HEADER_ROOM, is_sample);
    clones = pool("clones", 16384, 0, is_sample);
    for (uint16_t port = 0; port <= ports; port++)
        open_port(port);
    rte_eal_remote_launch(work, argv[1], worker);
    rte_delay_us_sleep((unsigned)(atof(argv[3]) * 1e6));
    atomic_store(&stop, true);
    rte_eal_wait_lcore(worker);
    printf("{\"received\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"ns\": %.0f}\n",
           received, sent, refused, (double)ticks * 1e9 / (double)rte_get_tsc_hz());
    for (uint16_t port = 0; port <= ports; port++)
        rte_eth_dev_stop(port);
    rte_eal_cleanup();
    return 0;
}
