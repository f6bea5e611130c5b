"""Instructions of each source file and nanoseconds of each stage, a packet and a copy, of the real binary.

Instructions are counted by callgrind, by source file, so that what the compiler has inlined stands where it was
written. A count is the same on a busy host; it is not time: a missed cache costs no instruction. Time is sampled by
`perf`, where that is installed."""

import collections
import json
import pathlib
import re
import shutil

from . import captures, host, programs, sampled
from .programs import HERE

SECONDS = 8  # under callgrind: most of them are the start
SHOWN = 16


def by_file(path):
    """Own instructions of each source file, from callgrind's output."""
    names, costs, current, called = {}, collections.Counter(), "", False
    for line in path.read_text().splitlines():
        if found := re.match(r"(fl|fi|fe)=\((\d+)\)(?: (.*))?$", line):
            names.setdefault(found[2], found[3] or "")
            current = names[found[2]]
        elif found := re.match(r"cfi?l?=\((\d+)\)(?: (.*))?$", line):
            if line.startswith(("cfi=", "cfl=")) and found[2]:
                names.setdefault(found[1], found[2])
        elif line.startswith("calls="):
            called = True
        elif re.match(r"[+\-*\d]", line):
            # The line after `calls=` is what the callee took.
            if not called and len(fields := line.split()) > 1:
                costs[current] += int(fields[-1])
            called = False
    return costs


def room(name):
    """What a source file is called in the table."""
    if found := re.search(r"(?:^|/)src/((?:stages|sched|wire|packet|worker|dpdk|ledger|plan)/\w+)", name):
        return found[1]
    return "the standard library" if "/rustc/" in name or "/library/" in name else "DPDK and the rest"


def measure(bench, _rounds, _goals):
    results = {}
    for copies in (1, 4, 16):
        source = programs.Source(captures.groups(HERE, 64, 256), 256)
        ours = programs.Punctual(bench, f"profile {copies}", source,
                                 programs.rule("all", "239.1.0.0/24", 5000, copies))
        report, out = HERE / "profile.json", HERE / f"callgrind.{copies}"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", bench.punctual, "run",
                   ours.config, "--stop-after", f"{SECONDS}s", "--report", report]
        ended = host.run(command)
        if ended.returncode != 0:
            host.say_and_exit(f"callgrind: {ended.returncode}\n{ended.stderr[-2000:]}", 70)
        ledger = json.loads(report.read_text())["ledger"]
        rooms = collections.Counter()
        for name, cost in by_file(out).items():
            rooms[room(name)] += cost
        results[f"1 -> {copies}"] = {
            name: {"a_packet": cost / ledger["received"], "a_copy": cost / ledger["sent"]}
            for name, cost in rooms.most_common(SHOWN)
        }
        show(f"1 -> {copies}: instructions a packet, a copy ({ledger['received']} packets; the start included)",
             results[f"1 -> {copies}"])
        if shutil.which("perf") is None:
            host.say("nanoseconds a stage take perf: apt-get install linux-perf")
            continue
        timed = sampled.measure(pathlib.Path(bench.punctual).resolve(), ours.config)
        results[f"1 -> {copies}, ns"] = timed
        show(f"1 -> {copies}: nanoseconds a packet, a copy", timed)
    return results


def show(title, rooms):
    print(f"\n{title}")
    for name, cost in list(rooms.items())[:SHOWN]:
        print(f"  {name:28}{cost['a_packet']:10.1f}{cost['a_copy']:10.1f}", flush=True)
