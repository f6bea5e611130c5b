/* The other end of a relay's two net_memif ports: offers frames at a rate, counts what comes back,
 * and how long it took. The relay under test runs on another core and connects to both sockets.
 *
 * load EAL-OPTIONS -- search COPIES SECONDS SIZE...     finds the highest rate without loss
 * load EAL-OPTIONS -- rate COPIES SECONDS RATE SIZE...  offers RATE frames a second
 * load jitter SECONDS                                   gaps of an idle loop, without DPDK
 *
 * SIZEs are frames without FCS, sent in turn. A frame that is due but that the ring refuses is lost,
 * as on a wire. Each payload begins with the time at which its burst was due, so a sender that comes
 * late counts as delay. Prints one line of JSON.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#define BURST 32
#define HEADER (RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define STEPS 9
/* Buckets of a histogram: 32 for each power of two. */
#define FINE 5
#define BUCKETS (64 << FINE)

struct trial {
    uint64_t due, refused, back, ticks;
};

static struct rte_mbuf *frames[BURST];
static struct rte_mempool *buffers;
static uint64_t histogram[BUCKETS], hz;
static unsigned copies;

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, rte_strerror(rte_errno));
    _exit(69);
}

static unsigned bucket(uint64_t value)
{
    unsigned top = value < (1 << FINE) ? 0 : 63 - FINE - (unsigned)__builtin_clzll(value);

    return (top << FINE) + (unsigned)(value >> top);
}

/* Nanoseconds of the value that `share` of all are not above. */
static double percentile(double share)
{
    uint64_t all = 0, seen = 0;
    unsigned i;

    for (i = 0; i < BUCKETS; i++)
        all += histogram[i];
    for (i = 0; i + 1 < BUCKETS; i++) {
        seen += histogram[i];
        if ((double)seen >= share * (double)all)
            break;
    }
    if (i >= (2 << FINE)) {
        unsigned top = (i >> FINE) - 1;

        return (double)((uint64_t)((i & ((1 << FINE) - 1)) + (1 << FINE)) << top) * 1e9 / (double)hz;
    }
    return (double)i * 1e9 / (double)hz;
}

static void print_percentiles(void)
{
    printf("\"p50_ns\": %.0f, \"p99_ns\": %.0f, \"p999_ns\": %.0f, \"max_ns\": %.0f}\n",
           percentile(0.5), percentile(0.99), percentile(0.999), percentile(1.0));
}

static int jitter(double seconds)
{
    uint64_t last, end;

    hz = rte_get_tsc_hz();
    if (hz == 0) { /* EAL does not run: measured against the system's clock. */
        uint64_t start = rte_rdtsc();

        usleep(100000);
        hz = (rte_rdtsc() - start) * 10;
    }
    last = rte_rdtsc();
    end = last + (uint64_t)(seconds * (double)hz);
    while (last < end) {
        uint64_t now = rte_rdtsc();

        histogram[bucket(now - last)]++;
        last = now;
    }
    printf("{");
    print_percentiles();
    return 0;
}

static void make_frame(struct rte_mbuf *frame, unsigned size, unsigned number)
{
    struct rte_ether_hdr *eth = rte_pktmbuf_mtod(frame, struct rte_ether_hdr *);
    struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
    struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);

    if (size < HEADER + sizeof(uint64_t) || rte_pktmbuf_append(frame, (uint16_t)size) == NULL)
        die("a frame's size");
    memset(eth, 0, size);
    eth->dst_addr = (struct rte_ether_addr){ { 1, 0, 0x5e, 1, 0, number & 0xff } };
    eth->src_addr = (struct rte_ether_addr){ { 2, 0, 0, 0, 0, 9 } };
    eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
    ip->version_ihl = 0x45;
    ip->total_length = rte_cpu_to_be_16((uint16_t)(size - RTE_ETHER_HDR_LEN));
    ip->time_to_live = 16;
    ip->next_proto_id = IPPROTO_UDP;
    ip->src_addr = rte_cpu_to_be_32(RTE_IPV4(10, 9, 0, 1));
    ip->dst_addr = rte_cpu_to_be_32(RTE_IPV4(239, 1, 0, number & 0xff));
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    udp->src_port = rte_cpu_to_be_16(4000);
    udp->dst_port = rte_cpu_to_be_16(5001);
    udp->dgram_len = rte_cpu_to_be_16((uint16_t)(size - RTE_ETHER_HDR_LEN - sizeof(*ip)));
    /* No UDP checksum: the payload changes with every frame. */
}

/* Offers one burst that was due at `due`; what is refused is lost. Drivers free what they take, so
 * each frame is owned once more than that. */
static unsigned offer(uint64_t due)
{
    unsigned taken;

    for (unsigned i = 0; i < BURST; i++) {
        memcpy(rte_pktmbuf_mtod_offset(frames[i], char *, HEADER), &due, sizeof(due));
        rte_mbuf_refcnt_set(frames[i], 2);
    }
    taken = rte_eth_tx_burst(0, 0, frames, BURST);
    return BURST - taken;
}

static uint64_t take(void)
{
    struct rte_mbuf *burst[2 * BURST];
    uint16_t count = rte_eth_rx_burst(1, 0, burst, 2 * BURST);
    uint64_t now, due;

    if (count == 0)
        return 0;
    now = rte_rdtsc();
    for (uint16_t i = 0; i < count; i++) {
        memcpy(&due, rte_pktmbuf_mtod_offset(burst[i], char *, HEADER), sizeof(due));
        if (due != 0 && due < now)
            histogram[bucket(now - due)]++;
    }
    rte_pktmbuf_free_bulk(burst, count);
    return count;
}

/* Takes what still comes, until nothing has come for 50 ms. */
static uint64_t drain(void)
{
    uint64_t back = 0, quiet = rte_rdtsc();

    while (rte_rdtsc() - quiet < hz / 20) {
        uint64_t count = take();

        if (count > 0)
            quiet = rte_rdtsc();
        back += count;
    }
    return back;
}

/* `rate` frames a second; 0 offers as fast as it can. */
static struct trial try(double rate, double seconds)
{
    struct trial trial = { 0 };
    double gap = rate > 0 ? BURST * (double)hz / rate : 0;
    uint64_t start, now, end, due;

    memset(histogram, 0, sizeof(histogram));
    start = now = rte_rdtsc();
    end = start + (uint64_t)(seconds * (double)hz);
    while ((now = rte_rdtsc()) < end) {
        due = start + (uint64_t)((double)(trial.due / BURST) * gap);
        if (rate == 0 || now >= due) {
            trial.refused += offer(rate == 0 ? now : due);
            trial.due += BURST;
        }
        trial.back += take();
    }
    trial.ticks = now - start;
    trial.back += drain();
    return trial;
}

static bool is_whole(const struct trial *trial)
{
    return trial->refused == 0 && trial->back == trial->due * copies;
}

/* The highest rate without loss, within 0.5 % after STEPS bisections; a host's hiccup is not the
 * relay's loss, so a rate has lost only if it lost twice. `best` is what came back at it. */
static double search(double seconds, double *most)
{
    struct trial flood = try(0, seconds);
    double low = 0, high;

    *most = (double)flood.back * (double)hz / (double)flood.ticks;
    high = 1.2 * (double)(flood.due - flood.refused) * (double)hz / (double)flood.ticks;
    for (int step = 0; step < STEPS; step++) {
        double rate = (low + high) / 2;
        struct trial trial = try(rate, seconds);

        if (!is_whole(&trial))
            trial = try(rate, seconds);
        if (is_whole(&trial))
            low = rate;
        else
            high = rate;
    }
    return low;
}

static void open_port(uint16_t port)
{
    struct rte_eth_conf config = { 0 };

    if (rte_eth_dev_configure(port, 1, 1, &config) != 0 ||
        rte_eth_rx_queue_setup(port, 0, 1024, 0, NULL, buffers) != 0 ||
        rte_eth_tx_queue_setup(port, 0, 1024, 0, NULL) != 0 || rte_eth_dev_start(port) != 0)
        die("a port");
}

/* Until the relay has connected to both ports and lets a frame through. */
static void wait_for_relay(void)
{
    struct rte_eth_link link[2];
    uint64_t start = rte_rdtsc();

    for (;;) {
        for (uint16_t port = 0; port < 2; port++)
            if (rte_eth_link_get_nowait(port, &link[port]) != 0)
                die("a link");
        if (link[0].link_status && link[1].link_status) {
            offer(rte_rdtsc());
            if (drain() > 0)
                break;
        }
        if (rte_rdtsc() - start > 20 * hz)
            die("the relay does not answer");
    }
    drain();
}

int main(int argc, char **argv)
{
    bool searches;
    double seconds, rate = 0, most = 0;
    struct trial trial;
    int used, sizes;

    if (argc == 3 && strcmp(argv[1], "jitter") == 0)
        return jitter(atof(argv[2]));
    used = rte_eal_init(argc, argv);
    if (used < 0)
        die("EAL");
    argc -= used;
    argv += used;
    searches = argc > 1 && strcmp(argv[1], "search") == 0;
    sizes = searches ? 4 : 5;
    if (argc <= sizes || rte_eth_dev_count_avail() != 2)
        die("usage: load EAL-OPTIONS -- search COPIES SECONDS SIZE... | rate COPIES SECONDS RATE SIZE...");
    hz = rte_get_tsc_hz();
    copies = (unsigned)atoi(argv[2]);
    seconds = atof(argv[3]);
    buffers = rte_pktmbuf_pool_create("load", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (buffers == NULL)
        die("a pool");
    for (int i = 0; i < BURST; i++) {
        frames[i] = rte_pktmbuf_alloc(buffers);
        if (frames[i] == NULL)
            die("a frame");
        make_frame(frames[i], (unsigned)atoi(argv[sizes + i % (argc - sizes)]), (unsigned)i);
    }
    open_port(0);
    open_port(1);
    wait_for_relay();
    if (searches)
        rate = search(seconds, &most);
    else
        rate = atof(argv[4]);
    trial = try(rate, seconds);
    printf("{\"rate\": %.0f, \"most_back\": %.0f, \"due\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"back\": %" PRIu64 ", \"seconds\": %.3f, ",
           rate, most, trial.due, trial.refused, trial.back, (double)trial.ticks / (double)hz);
    print_percentiles();
    fflush(stdout);
    /* DPDK 22.11 goes on looking at a closed server's socket: the process ends without closing. */
    _exit(0);
}
