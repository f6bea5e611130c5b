"""Our stages beside what DPDK and the standard library have for the same, in one process: benches/rivals/,
which runs them in turn and sees to it that both come to the same answers."""

import json
import os
import pathlib
import subprocess

from . import host, linking, ratios, table

MILLISECONDS = 30  # of a block
HEADS = ("size", "drawn", "ours, ns", "rival, ns", "ours / rival", "A/A")


def binary(punctual):
    """RIVALS, or built as the relay is, with DPDK as it has it."""
    if "RIVALS" in os.environ:
        return os.environ["RIVALS"]
    host.say("the rivals are built")
    features = ["--features", "static"] if linking.of(punctual) == "static" else []
    built = subprocess.run(["cargo", "build", "--release", "-p", "rivals", *features], check=False)
    if built.returncode != 0:
        host.say_and_exit("the rivals were not built", 70)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release/rivals"


def run(bench, rounds):
    command = [binary(bench.punctual), "--cpu", bench.worker, "--rounds", rounds,
               "--milliseconds", MILLISECONDS]
    ran = host.run(list(map(str, command)))
    if ran.returncode != 0:
        host.say_and_exit(f"rivals: {ran.returncode}\n{ran.stderr}", 70)
    return json.loads(ran.stdout)["outcomes"]


def summarise(outcome):
    """A ratio is taken within its half of a round; A/A is of our own two halves of each."""
    halves = outcome.pop("halves")
    ours, rival = zip(*halves)
    return {
        **outcome,
        "ours_ns": ratios.spread(ours),
        "rival_ns": ratios.spread(rival),
        "ratio": ratios.spread([one / other for one, other in halves]),
        "a_a": ratios.spread([there / back for there, back in zip(ours[::2], ours[1::2])]),
    }


def print_rows(rows):
    for stage, first in {row["stage"]: row for row in rows}.items():
        print(f"\n{stage}: {first['ours']} beside {first['rival']}, ns a packet")
        print("".join(f"{head:>21}" for head in HEADS))
        for row in (row for row in rows if row["stage"] == stage):
            cells = [f"{row['size']:,}", row["drawn"], table.number(row["ours_ns"], 1),
                     table.number(row["rival_ns"], 1), table.number(row["ratio"], 2),
                     table.number(row["a_a"], 2)]
            print("".join(f"{cell:>21}" for cell in cells), flush=True)


def measure(bench, rounds, _goals):
    rows = [summarise(outcome) for outcome in run(bench, rounds * 2)]
    ratios.Count.thrown_out += sum(row["thrown_out"] for row in rows)
    ratios.Count.kept_disturbed += sum(row["kept_disturbed"] for row in rows)
    print_rows(rows)
    print(f"\nstages: {rounds * 2} rounds of four blocks of {MILLISECONDS} ms each")
    return rows
