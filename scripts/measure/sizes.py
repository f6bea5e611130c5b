"""What a large configuration takes: 100,000 rows to 4 outputs each, its file, its memory, its start."""

import json
import re
import signal
import subprocess
import time

from . import captures, host, programs, ratios, table
from .programs import HERE, PREFIX

RULES = 100
COPIES = 4
PATIENCE = 30  # seconds


def resident(pid):
    """Bytes of a process in memory; EAL's own, without hugepages, is a mapping of this process too."""
    text = open(f"/proc/{pid}/status", encoding="ascii").read()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


def pools(program, config):
    """Bytes of the pools, by `check`."""
    said = host.run([program, "check", config]).stdout
    found = re.findall(r"^  pool .*?([\d.,]+) (KiB|MiB|GiB)$", said, re.M)
    scale = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    return sum(float(size.replace(",", "")) * scale[unit] for size, unit in found)


def start(bench, config):
    """Seconds until the first turn's numbers are there, and bytes in memory then."""
    report = HERE / "sizes.json"
    report.unlink(missing_ok=True)
    began = time.monotonic()
    running = subprocess.Popen([bench.punctual, "run", config, "--report", report],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while True:
            shown = host.run([bench.punctual, "show", "ledger", "--json", "--instance", PREFIX])
            if shown.returncode == 0 and json.loads(shown.stdout)["received"] > 0:
                break
            if running.poll() is not None or time.monotonic() - began > PATIENCE:
                host.say_and_exit(f"it did not start:\n{running.stderr.read()}", 70)
            time.sleep(0.02)
        took = time.monotonic() - began
        time.sleep(0.5)
        found = resident(running.pid)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
        running.wait()
    return took, found


def measure(bench, rounds, goals):
    source = programs.Source(captures.groups(HERE, 64, 256), 256)
    rules = "".join(
        programs.rule(f"r{i}", f"239.1.{i}.0/24", '"5000-5003"', COPIES) for i in range(RULES)
    )
    config = programs.Punctual(bench, "sizes", source, rules).config
    starts = [start(bench, config) for _ in range(rounds)]
    took = ratios.spread([took for took, _ in starts])
    # Buffers are touched when they are made, so all of them are resident where pages are ordinary.
    mbufs = 0 if bench.huge else pools(bench.punctual, config)
    memory = ratios.spread([max(found - mbufs, 0) / 2**20 for _, found in starts])
    file = ratios.spread([config.stat().st_size / 2**10])
    name = f"{RULES * 1024} rows x {COPIES} outputs"
    goals.append(table.goal(name, "MiB besides the pools", memory, "<=", 1024, 0))
    goals.append(table.goal(name, "s to the first packets shown", took, "<=", 2.0))
    goals.append(table.goal(name, "KiB of configuration", file, "<=", 1024, 0))
    return {"mib": memory, "seconds": took, "kib": file}
