"""Over shared memory: a load on the other CPU (benches/floor/load.c), the highest rate without
loss, and how long frames take at shares of it, each for Punctual and for testpmd io."""

import json
import signal
import subprocess
import time
from dataclasses import dataclass

from . import host, programs, ratios, table
from .programs import HERE, PREFIX

SLOTS = 11  # of a ring, as a power of two
# With 18 bytes of payload at least; without FCS.
MIXED = (60, 252, 508, 1020, 1396)
SHARES = (0.1, 0.5, 0.9)
CONNECTED = 20  # seconds


def device(number, role):
    socket = HERE.resolve() / f"{PREFIX}-{number}.sock"
    more = f",rsize={SLOTS}" if role == "client" else ""
    return f"net_memif{number},role={role},id={number},socket={socket},socket-abstract=no{more}"


def punctual(bench, copies):
    """The relay with its report; it ends at SIGTERM."""
    config = HERE / "memif.toml"
    text = programs.CONFIG.format(
        name=PREFIX, memory="in-memory" if bench.huge else "no-huge", management=bench.management,
        worker=bench.worker, buffers=programs.BUFFERS, headers=programs.BUFFERS,
        rx=device(0, "client"), tx=device(1, "client"), tx_keys="", mtu=1500, sources=65536, rules=64,
        more=programs.rule("all", "239.1.0.0/24", 5001, copies))
    config.write_text(text)
    report = HERE / "memif.json"
    report.unlink(missing_ok=True)
    return [bench.punctual, "run", config, "--report", report], report


def testpmd(bench):
    eal = bench.eal("testpmd", 256)
    vdevs = ["--vdev", device(0, "client"), "--vdev", device(1, "client")]
    own = ["--forward-mode=io", "--auto-start", "--nb-cores=1", "--disable-link-check",
           f"--total-num-mbufs={programs.BUFFERS}", "--stats-period=60"]
    return ["dpdk-testpmd", *eal, *vdevs, "--", *own], None


@dataclass
class Loaded:
    """What the load found, the relay's report where it writes one, and who disturbed them."""

    found: dict
    report: dict | None
    noise: str | None


@dataclass
class Load:
    """A load on a relay, to be run as a block of the other cases is."""

    bench: programs.Bench
    label: str
    relay: tuple
    order: list

    def run(self):
        return once(self.bench, self.relay, self.order)


def load(bench, label, relay, order):
    """What a load finds that nobody disturbed, if one can be had, and the relay's report."""
    loaded = ratios.block(Load(bench, label, relay, order), patient=True)
    return loaded.found, loaded.report


def once(bench, relay, order):
    """Starts the load, which listens, then the relay."""
    command, report = relay
    eal = bench.eal("load", 128, worker=False)
    vdevs = ["--vdev", device(0, "server"), "--vdev", device(1, "server")]
    asked = [bench.load, *eal, *vdevs, "--", *map(str, order)]
    loading = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started = None
    try:
        wait_for_sockets(loading)
        started = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        watch = host.Watch(started.pid)
        text, errors = loading.communicate(timeout=120)
        noise = watch.noise()
        started.send_signal(signal.SIGTERM)
        said = started.communicate(timeout=20)[1]
    finally:
        for process in filter(None, (loading, started)):
            process.kill()
            process.wait()
        for name in ("load", "testpmd"):
            programs.remove_runtime(name)
        for number in range(2):
            (HERE / f"{PREFIX}-{number}.sock").unlink(missing_ok=True)
    if loading.returncode == 0 and report and started.returncode == -signal.SIGSEGV:
        # ARCHITECTURE.md has it, under shared memory.
        host.say("once more: librte_net_memif of the relay met the end of the load")
        return once(bench, relay, order)
    if loading.returncode != 0 or (report and started.returncode != 0):
        host.say_and_exit(f"the load: {loading.returncode}, the relay: {started.returncode}\n{errors}{text}\nthe relay:\n{said}", 70)
    found = json.loads(text[text.rindex("{"):])
    return Loaded(found, json.loads(report.read_text()) if report else None, noise)


def wait_for_sockets(loading):
    """Until the load listens."""
    for _ in range(CONNECTED * 20):
        if all((HERE / f"{PREFIX}-{number}.sock").exists() for number in range(2)):
            return
        if loading.poll() is not None:
            break
        time.sleep(0.05)
    host.say_and_exit(f"the load does not listen:\n{loading.stderr.read()}", 70)


def residual_is_zero(report):
    if report["ledger"]["residual"] != 0:
        host.say_and_exit(f"memif: a residual of {report['ledger']['residual']}", 70)


def loss_free(bench, rounds, copies):
    """Copies a second without loss: Punctual 1 -> `copies`, and io, in turn."""
    seconds = bench.seconds / 2
    found = {"punctual": [], "io": []}
    for turn in range(rounds):
        for name in sorted(found, reverse=turn % 2 == 0):
            if name == "io":
                searched, _ = load(bench, name, testpmd(bench), ["search", 1, seconds, *MIXED])
                found[name].append(searched["rate"])
            else:
                relay, order = punctual(bench, copies), ["search", copies, seconds, *MIXED]
                searched, report = load(bench, name, relay, order)
                residual_is_zero(report)
                found[name].append(searched["rate"] * copies)
    return found


def jitter(bench):
    """Gaps of an idle loop on the worker's CPU: the host's share of every latency."""
    command = ["taskset", "-c", str(bench.worker), bench.load, "jitter", "1"]
    return json.loads(host.run(command).stdout)


def latency(bench, rounds, rate):
    """By share of `rate`: percentiles there and back by the load's clock, and within Punctual."""
    found = []
    for share in SHARES:
        order = ["rate", 1, 2 * bench.seconds, int(rate * share), *MIXED]
        ours, ios, inside = [], [], []
        for _ in range(rounds):
            one, report = load(bench, "punctual", punctual(bench, 1), order)
            residual_is_zero(report)
            ours.append(one)
            inside.append(report["rules"][0]["latency_ns"])
            ios.append(load(bench, "io", testpmd(bench), order)[0])
        found.append({"share": share, "rate": rate * share, "punctual": ours, "io": ios, "residence": inside})
    return found


def micros(values, key):
    return "/".join(f"{value[key] / 1e3:.1f}" for value in values)


def measure(bench, rounds, goals):
    copies = 8
    rates = loss_free(bench, rounds, copies)
    value = ratios.spread([ours / io if io else 0.0 for ours, io in zip(rates["punctual"], rates["io"])])
    print(f"\nnet_memif, frames of {', '.join(map(str, MIXED))} B in turn, without loss")
    print(f"  1 -> {copies}: {value_of(rates['punctual'])} M copies/s; testpmd io {value_of(rates['io'])} M packets/s")
    goals.append(table.goal(f"memif, 1 -> {copies}, mixed", "copies/s to io's packets/s", value, ">=", 1.0))
    order = ["search", 1, bench.seconds / 2, *MIXED]
    alone, report = load(bench, "punctual", punctual(bench, 1), order)
    residual_is_zero(report)
    if alone["rate"] < 10_000:
        host.say("no rate went through without loss twice: this host is too busy for memif")
        value = ratios.spread([float("inf")])
        goals.append(table.goal("latency over memif at 50 %", "p99 to io's", value, "<=", 1.5))
        return {"loss_free": rates, "one_to_one": alone}
    idle, found = jitter(bench), latency(bench, rounds, alone["rate"])
    print(f"  1 -> 1: {alone['rate'] / 1e6:.2f} Mpps without loss")
    print("  latency in us, p50 / p99 / p99.9; idle loop's gaps "
          + " / ".join(f"{idle[key] / 1e3:.2f}" for key in ("p50_ns", "p99_ns", "p999_ns")))
    for line in found:
        for name, keys in (("punctual", KEYS), ("io", KEYS), ("residence", ("p50", "p99", "p999"))):
            cells = " / ".join(micros(line[name], key) for key in keys)
            print(f"    at {line['share']:.0%} {name:10} {cells}")
    half = next(line for line in found if line["share"] == 0.5)
    value = ratios.spread([ours["p99_ns"] / max(io["p99_ns"], 1)
                           for ours, io in zip(half["punctual"], half["io"])])
    goals.append(table.goal("latency over memif at 50 %", "p99 to io's", value, "<=", 1.5))
    return {"loss_free": rates, "one_to_one": alone, "jitter": idle, "latency": found}


KEYS = ("p50_ns", "p99_ns", "p999_ns")


def value_of(rates):
    return "/".join(f"{rate / 1e6:.2f}" for rate in rates)
