"""The host: its CPUs, its memory, its facts, and who else had its CPUs."""

import json
import os
import pathlib
import re
import subprocess
import sys
import threading

STEAL_MAX = 0.01  # share of the CPUs' time that another guest had
WAIT_MAX = 0.02  # share of its time that the worker was ready but another thread had its CPU
SAMPLE = 0.05  # seconds


def say(message):
    print(f"bench: {message}", file=sys.stderr, flush=True)


def say_and_exit(message, code):
    say(message)
    sys.exit(code)


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def steal():
    """Seconds since boot, over all CPUs: all, and stolen from this guest."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    times = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]
    return sum(times), times[7]


def two_cpus():
    """That of management and everything else, and that of the worker under test."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        say_and_exit("two CPUs are needed, one for the worker and one for everything else", 69)
    return cpus[0], cpus[1]


def huge_pages(megabytes=512):
    facts = pathlib.Path("/proc/meminfo").read_text()
    free = re.search(r"HugePages_Free:\s+(\d+)", facts)
    size = re.search(r"Hugepagesize:\s+(\d+)", facts)
    enough = free and size and int(free[1]) * int(size[1]) >= megabytes * 1024
    return bool(enough) and os.geteuid() == 0


def threads(pid):
    """By thread: nanoseconds on a CPU, and ready but not on one."""
    found = {}
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            ran, waited, _ = map(int, (task / "schedstat").read_text().split())
            found[task.name] = (ran, waited)
    except (OSError, ValueError):
        return {}  # A thread ended meanwhile: the next look sees the rest.
    return found


class Watch(threading.Thread):
    """How long the busiest thread of a process waited for its CPU, as a share of its time."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.ended = pid, threading.Event()
        self.first, self.last = {}, {}
        self.before = steal()
        self.start()

    def run(self):
        while not self.ended.is_set():
            now = threads(self.pid)
            if now:
                self.last = now
                for thread, times in now.items():
                    self.first.setdefault(thread, times)
            self.ended.wait(SAMPLE)

    def noise(self):
        """Why this block does not count, or None."""
        self.ended.set()
        self.join()
        passed, stolen = (after - before for before, after in zip(self.before, steal()))
        if stolen / max(passed, 1e-9) > STEAL_MAX:
            return f"{stolen / passed:.1%} of the CPUs' time was stolen"
        deltas = [
            (ran - self.first[thread][0], waited - self.first[thread][1])
            for thread, (ran, waited) in self.last.items()
        ]
        ran, waited = max(deltas, default=(0, 0))
        share = waited / max(ran + waited, 1)
        return f"its worker waited {share:.1%} of its time for a CPU" if share > WAIT_MAX else None


def facts(huge):
    cpu = json.loads(run(["lscpu", "--json"]).stdout or '{"lscpu": []}')["lscpu"]
    cpu = {entry["field"].rstrip(":"): entry["data"] for entry in cpu}
    return {
        "cpu": cpu.get("Model name"),
        "cpus": cpu.get("CPU(s)"),
        "hypervisor": cpu.get("Hypervisor vendor"),
        "kernel": os.uname().release,
        "dpdk": run(["pkg-config", "--modversion", "libdpdk"]).stdout.strip(),
        "memory": "hugepages" if huge else "ordinary pages",
        "revision": run(["git", "describe", "--always", "--dirty"]).stdout.strip(),
        "load": os.getloadavg()[0],
    }
