#!/usr/bin/env python3
"""Copies that a relay delivers per core that it keeps busy, over veth pairs, side by side.

The relay is in a namespace between a sender and as many desks as there are copies. A round runs every rival
once, each at the same rate, and the sender alone. A desk is a socket of the kernel that drops each datagram when it
has got it whole and right, so that it is relays that are compared and not their receivers; while the sender is alone all
is dropped at the relay's place. Busy is the time that the host's CPUs were not idle, less
that of the run of the sender alone. So all of the kernel's work is in it, and once: much is done in soft
interrupts in the sender's system call, which /proc/stat counts as such and as the sender's own. The kernel
measures idle time; all other kinds it only samples. Delivered is what the desks' sockets got.
"""

import argparse
import math
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

NAME = f"bn-{os.getpid()}"
GROUP = "239.1.1.1:5000"
TICKS = os.sysconf("SC_CLK_TCK")
LOSS_MAX = 0.001
OTHERS_MAX = 0.1
# Buffers that a port of af_xdp asks for.
AF_XDP_PACKETS = 4_608
# Seconds that a rival gets to start.
SETTLE = 3
BUNDLE = "+bundle"
DRIVERS = ("af_xdp", "af_packet", "af_xdp" + BUNDLE, "af_packet" + BUNDLE)
RIVALS = (*DRIVERS, "smcroute", "sockets")
GOALS = (*((driver, "smcroute", 1) for driver in DRIVERS if driver.startswith("af_xdp")),
         *((driver, "sockets", 3) for driver in DRIVERS))


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ip(space, *arguments):
    run("ip", "-n", f"{NAME}-{space}", *arguments)


def spawn(space, *command, **more):
    return subprocess.Popen(["ip", "netns", "exec", f"{NAME}-{space}", *command], **more)


def drop(space, interface):
    """Drops what arrives at an interface, by a classifier of one instruction; it is counted before."""
    tc = ["ip", "netns", "exec", f"{NAME}-{space}", "tc"]
    run(*tc, "qdisc", "add", "dev", interface, "clsact")
    run(*tc, "filter", "add", "dev", interface, "ingress", "bpf", "direct-action", "bytecode", "1,6 0 0 2")


def pass_on(space, interface):
    """Ends that."""
    run("ip", "netns", "exec", f"{NAME}-{space}", "tc", "qdisc", "del", "dev", interface, "clsact")


def network(space, port, near, far):
    """A namespace with a veth pair to the relay."""
    run("ip", "netns", "add", f"{NAME}-{space}")
    ip("relay", "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", f"{NAME}-{space}")
    for name, interface, address in (("relay", port, near), (space, "eth0", far)):
        ip(name, "link", "set", interface, "up")
        ip(name, "address", "add", f"{address}/24", "dev", interface)


def networks(fanout, rival, desks):
    """The namespaces, and a process for each desk, which is put into `desks`."""
    run("ip", "netns", "add", f"{NAME}-relay")
    spawn("relay", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1").wait()
    network("source", "in", "10.0.0.254", "10.0.0.1")
    for desk in range(fanout):
        network(f"desk{desk}", f"out{desk}", f"10.1.{desk}.254", f"10.1.{desk}.1")
        # What the relay forwards comes from another network.
        spawn(f"desk{desk}", "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0").wait()
        desks.append(spawn(f"desk{desk}", rival, "desk", f"10.1.{desk}.1", GROUP, stdout=subprocess.PIPE, text=True))
        if desks[-1].stdout.readline() != "ready\n":
            raise SystemExit("bench-networks: a desk did not start")


def remove(fanout, desks):
    for desk in desks:
        desk.kill()
        desk.wait()
    for space in ["source", "relay"] + [f"desk{desk}" for desk in range(fanout)]:
        subprocess.run(["ip", "netns", "del", f"{NAME}-{space}"], stderr=subprocess.DEVNULL, check=False)


def received(fanout):
    """Datagrams that have come to the desks' sockets, and were right."""
    total = 0
    for desk in range(fanout):
        text = subprocess.run(["ip", "netns", "exec", f"{NAME}-desk{desk}", "cat", "/proc/net/snmp"],
                              check=True, capture_output=True, text=True).stdout
        names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
        udp = {name: int(value) for name, value in zip(names, values)}
        total += udp["InErrors"] - udp["InCsumErrors"]
    return total


def busy():
    """Seconds that all CPUs together were neither idle nor another guest's."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()
    idle, waiting, stolen = (int(fields[column]) / TICKS for column in (4, 5, 8))
    return time.monotonic() * os.cpu_count() - idle - waiting - stolen


def others():
    """CPUs that the host keeps busy by itself: what they take is counted as a relay's."""
    before = (time.monotonic(), busy())
    time.sleep(0.5)
    return (busy() - before[1]) / (time.monotonic() - before[0])


def config(rival, fanout):
    """Of a driver that may bundle, or of one with arguments of its own: `af_xdp,busy_budget=64`."""
    bundles = "bundle = true\n" if rival.endswith(BUNDLE) else ""
    driver, comma, more = rival.removesuffix(BUNDLE).partition(",")

    def device(name):
        if comma:
            return f'device = "net_{driver}_{name},iface={name},{more}"'
        return f'device = "{name}"\ndriver = "{driver}"'

    ports = f'[[port]]\nname = "in"\n{device("in")}\nrx_checksum = "complete"\n'
    ports += "".join(f'[[port]]\nname = "out{desk}"\n{device(f"out{desk}")}\n{bundles}'
                     for desk in range(fanout))
    outputs = "".join(f'{{ port = "out{desk}" }},' for desk in range(fanout))
    return f"""schema = 1
idle = "adaptive"
[instance]
name = "{NAME}"
[eal]
memory = "no-huge"
[memory]
packets = {max(32_768, AF_XDP_PACKETS * (fanout + 1))}
headers = 16384
{ports}
[[rule]]
name = "all"
class = "high"
input = {{ port = "in", destination = "239.1.1.1", udp_port = 5000 }}
output = [{outputs}]
"""


class Relay:
    """A rival at work."""

    def __init__(self, rival, arguments, here):
        self.kill = None
        outs = [f"out{desk}" for desk in range(arguments.fanout)]
        if rival.startswith("af_"):
            file = here / "punctual.toml"
            file.write_text(config(rival, arguments.fanout))
            self.process = spawn("relay", arguments.punctual, "run", str(file),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        elif rival == "smcroute":
            file = here / "smcroute.conf"
            file.write_text(f"mgroup from in group 239.1.1.1\nmroute from in group 239.1.1.1 to {' '.join(outs)}\n")
            self.process = spawn("relay", "smcrouted", "-n", "-f", str(file), "-i", NAME,
                                 "-P", str(here / "pid"), "-u", str(here / "sock"),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        elif rival == "sockets":
            addresses = [f"10.1.{desk}.254" for desk in range(arguments.fanout)]
            self.process = spawn("relay", arguments.rival, "relay", "10.0.0.254", GROUP, *addresses)
        else:
            self.process = None
        time.sleep(SETTLE)
        if self.process and self.process.poll() is not None:
            raise SystemExit(f"bench-networks: {rival} did not start")

    def end(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()


def measure(rival, rate, arguments, here):
    """Datagrams sent, copies delivered, seconds that CPUs were busy."""
    relay = Relay(rival, arguments, here)
    try:
        before = (received(arguments.fanout), busy())
        sender = spawn("source", arguments.rival, "send", "10.0.0.1", GROUP, str(rate),
                       str(arguments.seconds), stdout=subprocess.PIPE, text=True)
        sent = int(sender.stdout.readline())
        sender.wait()
        time.sleep(0.2)
        taken = busy() - before[1]
        return sent, received(arguments.fanout) - before[0], taken
    finally:
        relay.end()


def compare(rate, arguments, here):
    """All rivals at one rate, in rounds; prints the medians, also of the rounds' ratios."""
    rivals = arguments.rivals.split()
    rates = {rival: [None] * arguments.rounds for rival in rivals}
    losses = {rival: [] for rival in rivals}
    for number in range(arguments.rounds):
        at_work = others()
        drop("relay", "in")
        alone = measure("nothing", rate, arguments, here)[2]
        pass_on("relay", "in")
        at_work, alone_at_work = others(), at_work
        is_quiet = max(alone_at_work, at_work) <= OTHERS_MAX
        # There and back, so that a host that grows slower or faster favours nobody.
        for rival in rivals if number % 2 == 0 else reversed(rivals):
            sent, delivered, taken = measure(rival, rate, arguments, here)
            before, at_work = at_work, others()
            losses[rival].append(1 - delivered / (sent * arguments.fanout))
            disturbed = not is_quiet or max(before, at_work) > OTHERS_MAX
            if not disturbed:
                rates[rival][number] = delivered / max(taken - alone, 1 / TICKS)
            print(f"round {number + 1}: {rival}: {sent:,} sent, {delivered:,} copies, {taken - alone:.2f} s, "
                  f"others {max(before, at_work):.2f}{', disturbed' if disturbed else ''}", file=sys.stderr)
    print(f"\n1 -> {arguments.fanout}, {rate:,} datagrams of 200 bytes a second, "
          f"{arguments.rounds} rounds of {arguments.seconds} s; copies a second per busy core")
    for rival in rivals:
        quiet = [rate for rate in rates[rival] if rate is not None]
        loss = statistics.median(losses[rival])
        note = f", lost {loss:.1%}" if loss > LOSS_MAX else ""
        note += f", {arguments.rounds - len(quiet)} thrown out" if len(quiet) < arguments.rounds else ""
        print(f"  {rival:16} {statistics.median(quiet) if quiet else math.nan:12,.0f}{note}")
    for one, other, wanted in GOALS:
        if one in rates and other in rates:
            judge(one, other, wanted, rates)
    print(f"  thrown out: what was measured while the host was at work besides, by more than {OTHERS_MAX} CPUs before or "
          "behind it")


def judge(one, other, wanted, rates):
    """Prints what one is of the other, by the rounds in which neither was disturbed."""
    pairs = list(zip(rates[one], rates[other]))
    ratios = [a / b for a, b in pairs if a is not None and b is not None]
    if 2 * len(ratios) <= len(pairs):
        return print(f"  {one} of {other}: {len(ratios)} of {len(pairs)} rounds were quiet: not judged, run it again")
    ratio = statistics.median(ratios)
    verdict = "reached" if ratio >= wanted else "missed"
    print(f"  {one} is {ratio:.2f} of {other} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds; "
          f"wanted: {wanted}): {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--punctual", required=True)
    parser.add_argument("--rival", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rates", default="50000 250000",
                        help="datagrams a second, between spaces: what all carry, and more than any does")
    parser.add_argument("--fanouts", default="1 4 16", help="desks, between spaces")
    parser.add_argument("--rivals", default=" ".join(RIVALS),
                        help="between spaces; a driver may have arguments of DPDK's: af_xdp,busy_budget=64")
    arguments = parser.parse_args()
    # Who ends it finds the networks gone, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments.punctual, arguments.rival = (os.path.abspath(p) for p in (arguments.punctual, arguments.rival))
    for fanout in map(int, arguments.fanouts.split()):
        arguments.fanout = fanout
        desks = []
        try:
            networks(fanout, arguments.rival, desks)
            with tempfile.TemporaryDirectory() as here:
                for rate in arguments.rates.split():
                    compare(int(rate), arguments, pathlib.Path(here))
        finally:
            remove(fanout, desks)


if __name__ == "__main__":
    main()
