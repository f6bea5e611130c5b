"""DPDK's own ipv4_multicast sample as a peer: built from its source in Debian's package dpdk-doc, which
is unpacked here and not installed. It counts nothing; DPDK's telemetry says what its ports sent."""

import json
import pathlib
import re
import shlex
import socket
import subprocess
import time

from . import captures, host, linking, programs
from .programs import HERE, PREFIX, START, TX, Block

SOURCE = pathlib.Path("usr/share/dpdk/examples/ipv4_multicast/main.c")
# By copies: the group that the sample sends to so many of its first ports.
GROUPS = {1: 224 << 24 | 101, 2: 224 << 24 | 103, 3: 224 << 24 | 107, 4: 224 << 24 | 115}
MEGABYTES = 512


def find_source():
    """The sample's source, where it is installed or can be downloaded."""
    installed, unpacked = pathlib.Path("/") / SOURCE, HERE / "dpdk-doc" / SOURCE
    if installed.exists():
        return installed
    if not unpacked.exists():
        host.say("dpdk-doc is downloaded, for the source of DPDK's multicast sample")
        host.run(["apt-get", "download", "-q", "dpdk-doc"], cwd=HERE)
        for package in HERE.glob("dpdk-doc_*.deb"):
            host.run(["dpkg", "-x", package, HERE / "dpdk-doc"])
            package.unlink()
    return unpacked if unpacked.exists() else None


def build(punctual):
    """The sample's binary, with DPDK as Punctual has it, or None where its source is not to be had."""
    binary, source = HERE / "ipv4_multicast", find_source()
    if source is None:
        host.say("no source of DPDK's multicast sample: it is left out")
        return None
    flags = shlex.split(host.run(["pkg-config", "--cflags", "libdpdk"]).stdout)
    words = linking.words(linking.of(punctual))
    # net_null takes chains but does not say so, and the sample would end at its configuration.
    text, changed = re.subn("RTE_ETH_TX_OFFLOAD_MULTI_SEGS", "0", source.read_text())
    (HERE / "ipv4_multicast.c").write_text(text)
    built = host.run(["cc", "-O3", *flags, HERE / "ipv4_multicast.c", "-o", binary, *words])
    if changed != 1 or built.returncode != 0:
        host.say_and_exit(f"DPDK's multicast sample was not built ({changed} lines changed):\n{built.stderr}", 70)
    return binary


def ask(telemetry, command):
    telemetry.send(command.encode())
    return json.loads(telemetry.recv(1 << 14))[command.split(",")[0]]


class Sample:
    """The sample on as many net_null ports as it makes copies, its only lcore on the worker's CPU."""

    def __init__(self, bench, label, size, copies):
        self.bench, self.label, self.copies = bench, label, copies
        self.capture = captures.one_group(HERE, size, 256, GROUPS[copies])
        self.binary = build(bench.punctual)

    def run(self):
        # Its output ports come first, as its table of groups counts them.
        vdevs = [TX.replace("net_null1", f"net_null{i}") for i in range(self.copies)]
        vdevs.append(f"net_pcap0,rx_pcap={self.capture},infinite_rx=1")
        memory = ["--in-memory"] if self.bench.huge else ["--no-huge", "-m", str(MEGABYTES)]
        eal = ["-l", str(self.bench.worker), "--no-pci", "--file-prefix", f"{PREFIX}-sample", *memory]
        own = ["-p", f"{(1 << len(vdevs)) - 1:x}", "-q", str(len(vdevs))]
        command = [self.binary, *eal, *(f"--vdev={vdev}" for vdev in vdevs), "--", *own]
        with (HERE / "sample.log").open("w") as log:
            started = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                return self.between(started)
            finally:
                started.kill()
                started.wait()
                programs.remove_runtime("sample")

    def between(self, started):
        """What its ports sent between two looks."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as telemetry:
            self.connect(telemetry, started)
            watch = host.Watch(started.pid)
            first = self.sent(telemetry)
            time.sleep(self.bench.seconds)
            last = self.sent(telemetry)
            noise = watch.noise()
        copies, seconds = (after - before for before, after in zip(first, last))
        if not copies:
            host.say_and_exit(f"{self.label}: it sent nothing: see {HERE}/sample.log", 69)
        return Block(copies / seconds / self.copies, copies / seconds, noise)

    def connect(self, telemetry, started):
        """Until it forwards."""
        place = f"{programs.runtime_base()}/dpdk/{PREFIX}-sample/dpdk_telemetry.v2"
        ends = time.monotonic() + START
        while time.monotonic() < ends and started.poll() is None:
            try:
                telemetry.connect(place)
                break
            except OSError:
                time.sleep(0.05)
        else:
            host.say_and_exit(f"{self.label}: it did not start: see {HERE}/sample.log", 69)
        telemetry.recv(1 << 14)
        while time.monotonic() < ends and not self.sent(telemetry)[0]:
            time.sleep(0.05)

    def sent(self, telemetry):
        each = (ask(telemetry, f"/ethdev/stats,{port}") for port in range(self.copies))
        return sum(stats["opackets"] for stats in each), time.monotonic()
