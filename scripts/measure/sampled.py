"""Nanoseconds of each stage, a packet and a copy, from samples of the worker's clock by `perf`.

A sample belongs to the innermost stage whose code it is in, inlined or not: a checksum that fan-out computes is
fan-out's. Drivers are libraries of their own, or, linked in, the code whose source nobody knows: DPDK's archives
have no line numbers."""

import collections
import json
import re

from . import host
from .programs import HERE

SECONDS = 3
HERTZ = 4000
WORKER = "rte-worker"


def segment(binary):
    """By how much the addresses of the binary's code are ahead of their place in the file."""
    found = re.search(r"LOAD +(0x\w+) +(0x\w+) .* R E ", host.run(["readelf", "-lW", binary]).stdout)
    return int(found[2], 16) - int(found[1], 16)


def samples(data, binary):
    """How often the worker was seen at each address of the binary, and in each other library."""
    shown = host.run(["perf", "script", "-i", data, "-F", "comm,ip,dso", "--show-mmap-events"]).stdout
    inside, outside, base = collections.Counter(), collections.Counter(), 0
    for line in shown.splitlines():
        if found := re.search(r"MMAP2 .*\[(0x\w+)\(0x\w+\) @ (0x\w+|0) .* r-xp (\S+)$", line):
            if found[3] == binary:
                base = int(found[1], 16) - int(found[2], 16) - segment(binary)
        elif (fields := line.split()) and fields[0].startswith(WORKER):
            if fields[-1] == f"({binary})":
                inside[hex(int(fields[-2], 16) - base)] += 1
            else:
                outside[fields[-1].strip("()")] += 1
    return inside, outside


def stage(files):
    """The room that a place in the code is in; `files` are its own and those it is inlined into, from the inside out."""
    for kind in (r"src/(stages/\w+)", r"src/((?:worker|dpdk|ledger|plan|sched|packet)/\w+)", r"(dpdk-shim/\w+)"):
        for name in files:
            if found := re.search(f"(?:^|/){kind}", name):
                return found[1]
    return "DPDK" if all(re.search(r":[?0]$", name) for name in files) else "the rest"


def stages(binary, addresses):
    """The room of each address."""
    found, current = {}, None
    shown = host.run(["addr2line", "-e", binary, "-i", "-a"], input="\n".join(addresses)).stdout
    for line in shown.splitlines():
        if line.startswith("0x"):
            current = found.setdefault(hex(int(line, 16)), [])
        else:
            current.append(line)
    return {address: stage(files) for address, files in found.items()}


def library(name):
    """What a library is called in the table."""
    found = re.search(r"librte_(\w+)\.so", name)
    return f"DPDK's {found[1]}" if found else "libc and the kernel"


def measure(binary, config):
    """By room, the nanoseconds of the worker a packet and a copy."""
    binary = str(binary)
    data, report = HERE / "perf.data", HERE / "sampled.json"
    ended = host.run(["perf", "record", "-e", "cpu-clock", "-F", str(HERTZ), "-o", data, binary, "run", config,
                      "--stop-after", f"{SECONDS}s", "--report", report])
    if ended.returncode != 0:
        host.say_and_exit(f"perf: {ended.returncode}\n{ended.stderr[-2000:]}", 70)
    inside, outside = samples(data, binary)
    rooms, places = collections.Counter(), stages(binary, list(inside))
    for address, count in inside.items():
        rooms[places.get(address, "the rest")] += count
    for name, count in outside.items():
        rooms[library(name)] += count
    ledger = json.loads(report.read_text())["ledger"]
    each = 1e9 / HERTZ
    return {name: {"a_packet": count * each / ledger["received"], "a_copy": count * each / ledger["sent"]}
            for name, count in rooms.most_common()}
