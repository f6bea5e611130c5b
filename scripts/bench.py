#!/usr/bin/env python3
"""Punctual against dpdk-testpmd's 5tswap: runs them in turn, prints a table, keeps the numbers.

A round is every measurement once. A round in which another guest had the CPU for more than 1 % of
the time (steal, /proc/stat) is thrown out and counted. Each ratio is taken within its round.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path("target/bench")
RX = f"net_pcap0,rx_pcap={HERE}/in.pcap,infinite_rx=1"
TX = "net_null1,no-rx=1"
FANOUT = (1, 4, 16)
BUFFERS = 16384
CACHE = 256  # buffers that an lcore keeps of a pool, as Punctual has it
# Two runs side by side must not meet.
PREFIX = f"punctual-bench-{os.getpid()}"
STEAL_MAX = 0.01
OTHERS_MAX = 0.05
# infinite_rx needs no polling pause and stamps nothing, so the clock is the TSC.
CONFIG = """\
schema = 1
clock = "tsc"
idle = "spin"
[instance]
name = "{name}"
[eal]
memory = "{memory}"
lcores = {{ management = 0, workers = [1] }}
[memory]
packets = {buffers}
headers = {buffers}
[[port]]
name = "in"
device = "{rx}"
[[port]]
name = "out"
device = "{tx}"
[default.rule]
class = "high"
[[rule]]
name = "fan-out"
input = {{ port = "in", destination = "239.1.0.0/24", udp_port = 5001 }}
output = [
{outputs}
]
"""


def say_and_exit(message, code):
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(code)


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def cpu_times():
    """Seconds since boot, over all CPUs: all, stolen from this guest, and busy but not with us."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(field) / os.sysconf("SC_CLK_TCK") for field in fields
    )
    busy, ours = user + nice + system + irq + softirq, sum(os.times()[:4])
    return busy + idle + iowait + steal, steal, busy - ours


def huge_pages():
    free = re.search(r"HugePages_Free:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    size = re.search(r"Hugepagesize:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    enough = free and size and int(free[1]) * int(size[1]) >= 256 * 1024
    return bool(enough) and os.geteuid() == 0


def read_report(report):
    """Packets in, copies out and nanoseconds of one run; a residual is an error."""
    ledger = report["ledger"]
    if ledger["residual"] != 0:
        say_and_exit(f"the ledger has a residual of {ledger['residual']}", 70)
    if not ledger["received"] or not report["uptime_ns"]:
        say_and_exit("nothing was received", 69)
    return ledger["received"], ledger["sent"], report["uptime_ns"]


def punctual(program, copies, seconds):
    config, report = HERE / f"{copies}.toml", HERE / "report.json"
    report.unlink(missing_ok=True)
    command = [program, "run", config, "--stop-after", f"{seconds}s", "--report", report]
    ended = run(command, timeout=seconds + 60)
    if ended.returncode != 0:
        say_and_exit(f"{' '.join(map(str, command))}: {ended.returncode}\n{ended.stderr}", 70)
    received, sent, nanos = read_report(json.loads(report.read_text()))
    return received * 1e9 / nanos, sent * 1e9 / nanos


def read_testpmd(text):
    """Packets a second by port 0's windows; the first one holds the start and is left out."""
    port_0 = re.findall(r"NIC statistics for port 0 .*?Rx-pps:\s+(\d+)", text, re.S)
    windows = [int(rate) for rate in port_0][1:]
    if not windows or not statistics.median(windows):
        say_and_exit(f"testpmd moved nothing:\n{text}", 69)
    return float(statistics.median(windows))


def testpmd(huge, seconds):
    memory = ["--in-memory"] if huge else ["--no-huge", "-m", "256"]
    eal = ["-l", "0,1", "--no-pci", "--file-prefix", PREFIX, "--no-telemetry"]
    own = ["--forward-mode=5tswap", "--auto-start", "--nb-cores=1", "--stats-period=1"]
    pool = [f"--total-num-mbufs={BUFFERS}", f"--mbcache={CACHE}"]
    command = ["dpdk-testpmd", *eal, *memory, "--vdev", RX, "--vdev", TX, "--", *own, *pool]
    started = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        time.sleep(seconds + 1.5)
        started.send_signal(signal.SIGINT)
        text, _ = started.communicate(timeout=30)
    finally:
        started.kill()
        # Testpmd leaves its runtime directory behind.
        base = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
        shutil.rmtree(f"{base}/dpdk/{PREFIX}", ignore_errors=True)
    rate = read_testpmd(text)
    return rate, rate


def measure(arguments, huge):
    """Rounds of {name: (in, out)}, how many were thrown out, and what others took of the CPUs."""
    rounds, thrown_out, others = [], 0, 0.0
    while len(rounds) < arguments.rounds and thrown_out <= arguments.rounds:
        before = cpu_times()
        # Testpmd in the middle: a drift over the round touches both alike.
        found = {f"1 -> {copies}": None for copies in FANOUT}
        for copies in FANOUT[:2]:
            found[f"1 -> {copies}"] = punctual(arguments.punctual, copies, arguments.seconds)
        found["5tswap"] = testpmd(huge, arguments.seconds)
        for copies in FANOUT[2:]:
            found[f"1 -> {copies}"] = punctual(arguments.punctual, copies, arguments.seconds)
        passed, stolen, foreign = (b - a for a, b in zip(before, cpu_times()))
        steal = stolen / passed
        if steal > STEAL_MAX:
            thrown_out += 1
            print(f"thrown out: {steal:.1%} of the CPU time was stolen", file=sys.stderr)
            continue
        others = max(others, foreign / passed)
        rounds.append(found)
        print(f"round {len(rounds)} of {arguments.rounds}", file=sys.stderr)
    if len(rounds) < arguments.rounds:
        say_and_exit(f"{thrown_out} rounds thrown out: this host is too busy to measure on", 69)
    return rounds, thrown_out, others


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(rounds):
    rows = {}
    for name in rounds[0]:
        into = [one[name][0] for one in rounds]
        out = [one[name][1] for one in rounds]
        rows[name] = {
            "in_mpps": spread([rate / 1e6 for rate in into]),
            "out_mpps": spread([rate / 1e6 for rate in out]),
            "ns_per_packet": spread([1e9 / rate for rate in into]),
            "ns_per_copy": spread([1e9 / rate for rate in out]),
            "in_to_5tswap": spread([one[name][0] / one["5tswap"][0] for one in rounds]),
            "out_to_5tswap": spread([one[name][1] / one["5tswap"][1] for one in rounds]),
        }
    return rows


def print_table(rows):
    columns = {
        "in_mpps": ("Mpps in", 2),
        "out_mpps": ("Mpps out", 2),
        "ns_per_packet": ("ns a packet", 1),
        "ns_per_copy": ("ns a copy", 1),
        "in_to_5tswap": ("in / 5tswap", 3),
        "out_to_5tswap": ("out / 5tswap", 3),
    }
    print("\nmedian (min..max)")
    print(" " * 8 + "".join(f"{title:>26}" for title, _ in columns.values()))
    for name, row in rows.items():
        cells = []
        for column, (_, digits) in columns.items():
            value = row[column]
            middle, low, high = (f"{value[key]:.{digits}f}" for key in ("median", "min", "max"))
            cells.append(f"{f'{middle} ({low}..{high})':>26}")
        print(f"{name:8}" + "".join(cells))


def host(huge):
    cpu = json.loads(run(["lscpu", "--json"]).stdout)["lscpu"]
    facts = {entry["field"].rstrip(":"): entry["data"] for entry in cpu}
    version = run(["pkg-config", "--modversion", "libdpdk"]).stdout.strip()
    return {
        "cpu": facts.get("Model name"),
        "cpus": facts.get("CPU(s)"),
        "hypervisor": facts.get("Hypervisor vendor"),
        "kernel": os.uname().release,
        "dpdk": version,
        "memory": "hugepages" if huge else "ordinary pages",
        "revision": run(["git", "describe", "--always", "--dirty"]).stdout.strip(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--punctual", default="target/release/punctual", help="the program")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        say_and_exit("two CPUs are needed, one for the worker and one for everything else", 69)
    huge = huge_pages()
    memory = "in-memory" if huge else "no-huge"
    for copies in FANOUT:
        each = [f'  {{ port = "out", destination = "239.{100 + i}.0.0/24" }},' for i in range(copies)]
        outputs = "\n".join(each)
        text = CONFIG.format(
            name=PREFIX, memory=memory, buffers=BUFFERS, rx=RX, tx=TX, outputs=outputs
        )
        (HERE / f"{copies}.toml").write_text(text)
    rounds, thrown_out, others = measure(arguments, huge)
    facts, rows = host(huge), summarise(rounds)
    print_table(rows)
    print(f"\n{', '.join(f'{key} {value}' for key, value in facts.items())}")
    print(f"{len(rounds)} rounds of {arguments.seconds} s each, {thrown_out} thrown out for steal")
    print(f"other programs took up to {others:.0%} of the CPU time of a round"
          + ("; measure on an idle host" if others > OTHERS_MAX else ""))
    kept = {"schema": 1, "host": facts, "rounds": len(rounds), "seconds": arguments.seconds,
            "thrown_out": thrown_out, "others_max": round(others, 3), "results": rows}
    (HERE / "first.json").write_text(json.dumps(kept, indent=2) + "\n")
    print(f"kept in {HERE}/first.json")


if __name__ == "__main__":
    main()
