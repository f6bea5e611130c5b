"""Measures Punctual beside DPDK's own programs, in turn on the same devices and CPUs.

Every case is run in rounds of blocks, there and back (A B B A). Each ratio is taken within half a
round; the median and its 95 % interval (bootstrap) are printed, and A/A, the ratio of a program's
own two halves, which says what a ratio is worth on this host. A block in which another guest or
another thread had the worker's CPU is thrown out, counted and repeated.
"""

import argparse
import os
import sys

from . import cases, host, linking, memif, profile, ratios, sizes, stages, table, workers
from .programs import HERE, Bench


# Cases that are not blocks of a rate.
GOALS = {"memif": memif.measure, "sizes": sizes.measure, "workers": workers.measure}
OTHERS = GOALS | {"stages": stages.measure}
PROFILE = {"profile": profile.measure}
NAMES = (*cases.CASES, *OTHERS)


def read_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--punctual", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="only the cases that have a goal, two rounds")
    parser.add_argument("--case", action="append", metavar="NAME",
                        help=f"this case alone; may be repeated:\n{', '.join(NAMES)}")
    parser.add_argument("--profile", action="store_true",
                        help="instructions by source file (callgrind), nanoseconds by stage (perf), and nothing else")
    parser.add_argument("--stages", action="store_true",
                        help="our stages beside rte_net, rte_hash, rte_meter, rte_sched and a heap, in one process: --case stages")
    parser.add_argument("--rounds", type=int, help="rounds of each case (default: 10, quick 2)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each block (default: 0.5)")
    parser.add_argument("--shared", action="store_true",
                        help="build with DPDK as shared libraries, not linked in")
    parser.add_argument("--noisy", action="store_true",
                        help="keep disturbed blocks: to see that it works, not to measure")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.case or () if name not in NAMES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if arguments.stages:
        arguments.case = [*(arguments.case or ()), "stages"]
    if arguments.shared and linking.of(arguments.punctual) != "shared":
        parser.error(f"--shared, but DPDK is linked into {arguments.punctual}")
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 10)
    return arguments


def measure(bench, name, arguments, goals):
    """One case: its table, its goals, and what is kept."""
    host.say(f"case {name}")
    if name in OTHERS | PROFILE:
        return (OTHERS | PROFILE)[name](bench, max(1, arguments.rounds // 2), goals)
    case = cases.CASES[name](bench)
    found = ratios.halves(case.programs, arguments.rounds, not arguments.noisy)
    rows = ratios.summarise(found)
    table.print_rows(case.name, rows)
    for wanted in case.goals:
        pair = (wanted.other, wanted.one) if wanted.nanoseconds else (wanted.one, wanted.other)
        value = ratios.ratio(found, *pair)
        sign = "<=" if wanted.nanoseconds else ">="
        goals.append(table.goal(case.name, wanted.what, value, sign, wanted.bound))
    return rows


def main():
    arguments = read_arguments()
    management, worker = host.two_cpus()
    HERE.mkdir(parents=True, exist_ok=True)
    huge = host.huge_pages()
    bench = Bench(arguments.punctual, f"{arguments.tools}/floor", f"{arguments.tools}/load",
                  arguments.seconds, huge, management, worker)
    names = list(PROFILE) if arguments.profile else arguments.case or ((*cases.QUICK, *GOALS) if arguments.quick else NAMES)
    facts, goals, results = host.facts(huge) | {"linking": linking.of(arguments.punctual)}, [], {}
    for name in names:
        results[name] = measure(bench, name, arguments, goals)
    if goals:
        table.print_goals(goals)
    print(f"\n{', '.join(f'{key} {value}' for key, value in facts.items())}")
    if names != ["stages"]:
        print(f"{arguments.rounds} rounds of two blocks of {arguments.seconds} s each")
    print(f"thrown out: {ratios.Count.thrown_out}; disturbed and kept: {ratios.Count.kept_disturbed}"
          + (" - measure on an idle host" if ratios.Count.kept_disturbed else ""))
    kept = {"schema": 2, "host": facts, "command": ["scripts/bench.sh", *sys.argv[1:]],
            "rounds": arguments.rounds, "seconds": arguments.seconds,
            "thrown_out": ratios.Count.thrown_out, "kept_disturbed": ratios.Count.kept_disturbed,
            "goals": goals, "results": results}
    kind = next((kind for kind in ("profile", "stages", "quick") if getattr(arguments, kind)), "bench")
    table.keep(HERE / f"{kind}.json", kept)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
