"""The programs that are compared. Each runs for one block and says what it moved."""

import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass

from . import host

HERE = pathlib.Path("target/bench")
# Two benches side by side must not meet.
PREFIX = f"punctual-bench-{os.getpid()}"
TX = "net_null1,no-rx=1"
BUFFERS = 16384
CACHE = 256  # buffers that an lcore keeps of a pool, as Punctual has it
HEADROOM = 128
START = 30  # seconds in which any of them has started

CONFIG = """\
schema = 1
clock = "tsc"
idle = "spin"
[instance]
name = "{name}"
[eal]
memory = "{memory}"
lcores = {{ management = {management}, workers = [{worker}] }}
[memory]
packets = {buffers}
headers = {headers}
[limits]
rules = {rules}
sources = {sources}
[[port]]
name = "in"
device = "{rx}"
mtu = {mtu}
[[port]]
name = "out"
device = "{tx}"
{tx_keys}mtu = {mtu}
[default.rule]
class = "high"
{more}
"""


@dataclass
class Bench:
    """What all programs of a run have in common."""

    punctual: str
    floor: str
    load: str
    seconds: float
    huge: bool
    management: int
    worker: int

    def eal(self, name, megabytes, worker=True):
        cpus = f"{self.management},{self.worker}" if worker else f"{self.management}"
        memory = ["--in-memory"] if self.huge else ["--no-huge", "-m", str(megabytes)]
        return ["-l", cpus, "--no-pci", "--no-telemetry", "--file-prefix", f"{PREFIX}-{name}", *memory]


@dataclass
class Block:
    """What one program moved: packets a second in, copies a second out; `noise` is why it does not
    count."""

    into: float
    out: float
    noise: str | None


def runtime_base():
    return "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")


def remove_runtime(name):
    """Some programs leave EAL's runtime directory behind."""
    shutil.rmtree(f"{runtime_base()}/dpdk/{PREFIX}-{name}", ignore_errors=True)


def room_of(mtu):
    """The room of a buffer as Punctual sizes it: src/plan/memory.rs."""
    return HEADROOM + -(-max(mtu + 22, 2048) // 1024) * 1024


@dataclass
class Source:
    """A capture, played for ever: its buffers are held beside those under way."""

    capture: pathlib.Path
    frames: int
    mtu: int = 1500

    @property
    def device(self):
        return f"net_pcap0,rx_pcap={self.capture},infinite_rx=1"

    @property
    def buffers(self):
        return BUFFERS if self.frames <= 4096 else 2 * self.frames

    def megabytes(self):
        return self.buffers * (room_of(self.mtu) + 512) // 2**20 + 128


def outputs(copies, bits):
    """Each to a group of its own, with the host bits that it had."""
    each = (f'  {{ port = "out", destination = "239.{100 + i}.0.0/{bits}" }},' for i in range(copies))
    return "output = [\n" + "\n".join(each) + "\n]"


def rule(name, destination, udp_port, copies, more=""):
    bits = destination.split("/")[1]
    made = outputs(copies, bits)
    head = f'[[rule]]\nname = "{name}"\ninput = {{ port = "in", destination = "{destination}", '
    return f"{head}udp_port = {udp_port} }}\n{more}{made}\n"


class Punctual:
    """The program under test with its own configuration: `name` tells instances apart that run at
    once, `workers` are the CPUs of several."""

    def __init__(self, bench, label, source, rules, sources=65536, rule_count=4096, name=PREFIX,
                 workers=None, tx=TX, tx_keys=""):
        self.bench, self.label = bench, label
        slug = re.sub(r"[^a-z0-9]+", "-", label.lower())
        self.config, self.report = HERE / f"{slug}.toml", HERE / f"{slug}-report.json"
        self.config.write_text(CONFIG.format(
            name=name, memory="in-memory" if bench.huge else "no-huge", management=bench.management,
            worker=", ".join(map(str, workers or [bench.worker])), buffers=source.buffers,
            headers=BUFFERS, rx=source.device, tx=tx, tx_keys=tx_keys, mtu=source.mtu, more=rules,
            sources=sources, rules=rule_count))

    def run(self):
        report = self.report
        report.unlink(missing_ok=True)
        span = f"{int(self.bench.seconds * 1000)}ms"
        command = [self.bench.punctual, "run", self.config, "--stop-after", span, "--report", report]
        text, noise = watched(command, self.label)
        found = json.loads(report.read_text())
        ledger = found["ledger"]
        if ledger["residual"] != 0:
            host.say_and_exit(f"{self.label}: a residual of {ledger['residual']}: {text}", 70)
        if not ledger["received"] or not ledger["sent"]:
            host.say_and_exit(f"{self.label}: nothing was moved: {json.dumps(ledger)}", 69)
        seconds = found["uptime_ns"] / 1e9
        return Block(self.received(found) / seconds, ledger["sent"] / seconds, noise)

    def received(self, found):
        """Packets that came in, by the report."""
        return found["ledger"]["received"]


class Floor:
    """benches/floor/floor.c: the same DPDK calls and nothing else, or a sample's way."""

    def __init__(self, bench, label, way, source, copies, txs=(TX,), drains=False):
        self.bench, self.label, self.way, self.source, self.copies = bench, label, way, source, copies
        self.txs, self.drains = txs, drains

    def run(self):
        eal = self.bench.eal("floor", self.source.megabytes() * 3)
        own = [self.way, self.copies, self.bench.seconds, self.source.buffers, room_of(self.source.mtu)]
        own += ["drain"] if self.drains else []
        vdevs = (f"--vdev={device}" for device in (self.source.device, *self.txs))
        command = [self.bench.floor, *eal, *vdevs, "--", *map(str, own)]
        text, noise = watched(command, self.label)
        remove_runtime("floor")
        found = json.loads(text[text.rindex("{"):text.rindex("}") + 1])
        if not found["sent"] or found["refused"]:
            host.say_and_exit(f"{self.label}: it moved {found}", 70)
        seconds = found["ns"] / 1e9
        return Block(found["received"] / seconds, found["sent"] / seconds, noise)


class Testpmd:
    """dpdk-testpmd, one of its forward modes."""

    def __init__(self, bench, label, mode, source, tx=TX, counted=0):
        self.bench, self.label, self.mode, self.source = bench, label, mode, source
        self.tx, self.counted = tx, counted

    def command(self):
        # Its buffers are put on pages of their own where there are no hugepages.
        eal = self.bench.eal("testpmd", self.source.megabytes() * 2)
        own = [f"--forward-mode={self.mode}", "--auto-start", "--nb-cores=1", "-i",
               f"--total-num-mbufs={self.source.buffers}", f"--mbcache={CACHE}",
               f"--mbuf-size={room_of(self.source.mtu)}"]
        vdevs = ["--vdev", self.source.device, "--vdev", self.tx]
        return ["stdbuf", "-oL", "dpdk-testpmd", *eal, *vdevs, "--", *own]

    def run(self):
        piped = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        watch = host.Watch(piped.pid)
        try:
            rate = self.between(piped)
            noise = watch.noise()
        finally:
            piped.kill()
            piped.wait()
            remove_runtime("testpmd")
        return Block(rate, rate, noise)

    def between(self, piped):
        """Packets a second that a port receives, between two looks at its counters."""
        seen = []
        for line in piped.stdout:
            seen.append(line)
            if "Port 1" in line or "Press enter" in line or "testpmd>" in line:
                break
        for pause in (0.3, self.bench.seconds, 0.0):
            time.sleep(pause)
            piped.stdin.write(f"show port stats {self.counted}\n" if pause else "quit\n")
            piped.stdin.flush()
        rest, _ = piped.communicate(timeout=START)
        rates = re.findall(r"Rx-pps:\s+(\d+)", rest)
        if len(rates) < 2 or not int(rates[1]):
            host.say_and_exit(f"testpmd moved nothing:\n{''.join(seen)}{rest}", 69)
        return float(rates[1])


def watched(command, label):
    """Runs it to its end; its output, and why the block does not count."""
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = host.Watch(started.pid)
    try:
        text, errors = started.communicate(timeout=START * 4)
    finally:
        started.kill()
    noise = watch.noise()
    if started.returncode != 0:
        host.say_and_exit(f"{label}: {started.returncode}\n{' '.join(map(str, command))}\n{errors}{text}", 70)
    return text, noise
