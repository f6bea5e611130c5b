"""Two workers with a flow each beside one with both, and beside two processes of one worker each,
which share nothing of ours: what these reach is what the host's two CPUs are worth together.

Management sleeps but for a tick a millisecond. Where there are two CPUs only it shares one with a
worker, and so it does with one of the two processes."""

import os
from concurrent.futures import ThreadPoolExecutor

from . import captures, host, programs, ratios, table
from .programs import HERE, PREFIX, Block, Punctual

ONE, TWO, APART = "one worker", "two workers", "two processes"

# A second way beside ports `in` and `out`.
SECOND = """\
[[port]]
name = "in2"
device = "{rx}"
[[port]]
name = "out2"
device = "net_null3,no-rx=1"
[[rule]]
name = "second"
input = {{ port = "in2", destination = "239.1.0.0/24", udp_port = 5000 }}
output = [{{ port = "out2", destination = "239.100.0.0/24" }}]
"""


class Apart:
    """Two instances at once."""

    def __init__(self, label, both):
        self.label, self.both = label, both

    def run(self):
        with ThreadPoolExecutor(len(self.both)) as pool:
            blocks = list(pool.map(lambda program: program.run(), self.both))
        noise = next((block.noise for block in blocks if block.noise), None)
        return Block(sum(block.into for block in blocks), sum(block.out for block in blocks), noise)


def measure(bench, rounds, goals):
    cpus = sorted(os.sched_getaffinity(0))
    shared = len(cpus) < 3
    pair = [bench.worker, bench.management if shared else cpus[2]]
    source = programs.Source(captures.groups(HERE, 64, 256), 256)
    first = programs.rule("all", "239.1.0.0/24", 5000, 1)
    both = first + SECOND.format(rx=source.device.replace("net_pcap0", "net_pcap2"))
    apart = [Punctual(bench, f"{APART} {cpu}", source, first, name=f"{PREFIX}-{cpu}", workers=[cpu])
             for cpu in pair]
    everyone = [
        Punctual(bench, ONE, source, both),
        Punctual(bench, TWO, source, both, workers=pair),
        Apart(APART, apart),
    ]
    found = ratios.halves(everyone, rounds * 2, True)
    rows = ratios.summarise(found)
    name = "2 x 1 -> 1, 64 B"
    table.print_rows(name, rows)
    note = f", CPU {bench.management} shared with management" if shared else ""
    goals.append(table.goal(name, f"{TWO} to one{note}", ratios.ratio(found, TWO, ONE), ">=", 1.7))
    ceiling = ratios.ratio(found, APART, ONE)
    host.say(f"{APART} to one: {table.number(ceiling, 2)}")
    return {**rows, "two_to_one": ratios.ratio(found, TWO, ONE), "apart_to_one": ceiling}
