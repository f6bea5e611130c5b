#!/usr/bin/env python3
"""Copies that a relay delivers per core that it keeps busy, over veth pairs, side by side.

The relay is in a namespace between a sender and as many desks as there are copies. A round runs every rival
once, each at the same rate, and the sender alone. Busy is what the relay's process took, and what the sender
and the kernel's soft interrupts took more than in the run of the sender alone: much of the kernel's work is
done in the sender's system call. Delivered is what the desks' interfaces received.
"""

import argparse
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
RIVALS = ("af_xdp", "af_packet", "smcroute", "sockets")


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ip(space, *arguments):
    run("ip", "-n", f"{NAME}-{space}", *arguments)


def spawn(space, *command, **more):
    return subprocess.Popen(["ip", "netns", "exec", f"{NAME}-{space}", *command], **more)


def network(space, port, near, far):
    """A namespace with a veth pair to the relay."""
    run("ip", "netns", "add", f"{NAME}-{space}")
    ip("relay", "link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", f"{NAME}-{space}")
    for name, interface, address in (("relay", port, near), (space, "eth0", far)):
        ip(name, "link", "set", interface, "up")
        ip(name, "address", "add", f"{address}/24", "dev", interface)


def networks(fanout):
    run("ip", "netns", "add", f"{NAME}-relay")
    spawn("relay", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1").wait()
    network("source", "in", "10.0.0.254", "10.0.0.1")
    for desk in range(fanout):
        network(f"desk{desk}", f"out{desk}", f"10.1.{desk}.254", f"10.1.{desk}.1")


def remove(fanout):
    for space in ["source", "relay"] + [f"desk{desk}" for desk in range(fanout)]:
        subprocess.run(["ip", "netns", "del", f"{NAME}-{space}"], stderr=subprocess.DEVNULL, check=False)


def received(fanout):
    """Frames that the desks' interfaces have received."""
    total = 0
    for desk in range(fanout):
        text = subprocess.run(
            ["ip", "netns", "exec", f"{NAME}-desk{desk}", "cat", "/sys/class/net/eth0/statistics/rx_packets"],
            check=True, capture_output=True, text=True).stdout
        total += int(text)
    return total


def softirq():
    """Seconds of soft interrupts, on all CPUs."""
    return int(pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[7]) / TICKS


def taken(process):
    """Seconds of CPU that a running process has taken, user's and system's."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def config(driver, fanout):
    ports = "".join(
        f'[[port]]\nname = "{name}"\ndevice = "{name}"\ndriver = "{driver}"\n'
        for name in ["in"] + [f"out{desk}" for desk in range(fanout)])
    outputs = "".join(f'{{ port = "out{desk}" }},' for desk in range(fanout))
    return f"""schema = 1
idle = "adaptive"
[instance]
name = "{NAME}"
[eal]
memory = "no-huge"
[memory]
packets = 32768
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
        if rival in ("af_xdp", "af_packet"):
            file = here / f"{rival}.toml"
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
        time.sleep(3)
        if self.process and self.process.poll() is not None:
            raise SystemExit(f"bench-networks: {rival} did not start")

    def seconds(self):
        return taken(self.process.pid) if self.process else 0

    def end(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()


def measure(rival, arguments, here):
    """Datagrams sent, copies delivered, seconds of CPU in all."""
    relay = Relay(rival, arguments, here)
    try:
        before = (received(arguments.fanout), softirq(), relay.seconds())
        sender = spawn("source", arguments.rival, "send", "10.0.0.1", GROUP, str(arguments.rate),
                       str(arguments.seconds), stdout=subprocess.PIPE, text=True)
        sent = int(sender.stdout.readline())
        _, status, usage = os.wait4(sender.pid, 0)
        sender.returncode = status
        time.sleep(0.2)
        delivered = received(arguments.fanout) - before[0]
        busy = softirq() - before[1] + relay.seconds() - before[2] + usage.ru_utime + usage.ru_stime
        return sent, delivered, busy
    finally:
        relay.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--punctual", required=True)
    parser.add_argument("--rival", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--fanout", type=int, default=4)
    arguments = parser.parse_args()
    arguments.punctual, arguments.rival = (os.path.abspath(p) for p in (arguments.punctual, arguments.rival))
    rates = {rival: [] for rival in RIVALS}
    losses = {rival: [] for rival in RIVALS}
    try:
        networks(arguments.fanout)
        with tempfile.TemporaryDirectory() as here:
            for number in range(arguments.rounds):
                alone = measure("nothing", arguments, pathlib.Path(here))[2]
                for rival in RIVALS:
                    sent, delivered, busy = measure(rival, arguments, pathlib.Path(here))
                    rates[rival].append(delivered / max(busy - alone, 1 / TICKS))
                    losses[rival].append(1 - delivered / (sent * arguments.fanout))
                    print(f"round {number + 1}: {rival}: {delivered:,} copies, {busy - alone:.2f} s", file=sys.stderr)
    finally:
        remove(arguments.fanout)
    middle = {rival: statistics.median(rates[rival]) for rival in RIVALS}
    print(f"\n1 -> {arguments.fanout}, {arguments.rate:,} datagrams of 200 bytes a second, "
          f"{arguments.rounds} rounds of {arguments.seconds} s; copies a second per busy core")
    for rival in RIVALS:
        loss = statistics.median(losses[rival])
        note = f", lost {loss:.1%}" if loss > LOSS_MAX else ""
        print(f"  {rival:10} {middle[rival]:12,.0f}{note}")
    print(f"  af_xdp is {middle['af_xdp'] / middle['smcroute']:.2f} of smcroute (wanted: 1), "
          f"{middle['af_xdp'] / middle['sockets']:.2f} of sockets (wanted: 3)")
    print(f"  af_packet is {middle['af_packet'] / middle['sockets']:.2f} of sockets (wanted: 3)")


if __name__ == "__main__":
    main()
