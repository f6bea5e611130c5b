"""The cases: what is offered, which programs are run on it in turn, and what they must reach."""

from dataclasses import dataclass, field

from . import captures, rings, sample
from .programs import HERE, Floor, Punctual, Source, Testpmd, rule

OURS = "punctual"


@dataclass
class Goal:
    """A line of the issue's table: `one` to `other` in copies a second, or, with `nanoseconds`, the
    inverse: what a copy costs."""

    what: str
    one: str
    other: str
    bound: float
    nanoseconds: bool = False


@dataclass
class Case:
    """`quick` cases are those with a goal."""

    name: str
    programs: list
    goals: list = field(default_factory=list)
    seconds: float | None = None

    @property
    def quick(self):
        return bool(self.goals)


def fan_out(bench, copies, size, goals=(), peers=("refcount", "clone")):
    """1 -> `copies`, frames of `size` with FCS, beside the floor and the sample's ways."""
    mtu = max(1500, size - 18)
    source = Source(captures.groups(HERE, size, 256), 256, mtu)
    label = f"1 -> {copies}, {size} B"
    ours = Punctual(bench, f"{label} {OURS}", source, rule("all", "239.1.0.0/24", 5000, copies))
    ours.label = OURS
    ways = [Floor(bench, way, way, source, copies) for way in ("floor", *peers)]
    return Case(label, [ours, *ways], list(goals))


def one_to_one(bench):
    goals = [
        Goal("rate to testpmd 5tswap", OURS, "5tswap", 0.65),
        Goal("rate to testpmd csum", OURS, "csum", 1.25),
        Goal("ns a copy to the floor", OURS, "floor", 1.5, nanoseconds=True),
    ]
    case = fan_out(bench, 1, 64, goals)
    source = case.programs[0].source = Source(captures.groups(HERE, 64, 256), 256)
    case.programs += [Testpmd(bench, mode, mode, source) for mode in ("io", "5tswap", "csum")]
    return case


def one_to_four(bench):
    """Beside the sample itself, where its source is to be had."""
    theirs = sample.Sample(bench, "ipv4_multicast", 64, 4)
    if theirs.binary is None:
        return fan_out(bench, 4, 64)
    goal = Goal("copies to DPDK's ipv4_multicast", OURS, theirs.label, 3.0)
    case = fan_out(bench, 4, 64, [goal])
    case.programs.append(theirs)
    return case


def into_rings(bench, copies):
    """1 -> `copies`, 64 B, each output a ring that the same worker reads back."""
    label = f"rings, 1 -> {copies}, 64 B"
    source = Source(captures.groups(HERE, 64, 256), 256)
    return Case(label, rings.programs(bench, label, source, copies))


def rules(bench, count, goals=()):
    """`count` rows, each hit as often, and one row, on captures of as many frames."""
    single = captures.groups(HERE, 64, count, 1)
    if count == 1000:
        many = captures.groups(HERE, 64, count)
        text = "".join(
            rule(f"r{i}", f"239.1.{i // 256}.{i % 256}/32", 5000, 1) for i in range(count)
        )
    else:
        # 100 rules, a prefix and a range each: 256 groups x 4 UDP ports.
        many = captures.groups(HERE, 64, count, count, 4)
        text = "".join(rule(f"r{i}", f"239.1.{i}.0/24", '"5000-5003"', 1) for i in range(count // 1024))
    name = f"{count} rows"
    programs = [
        Punctual(bench, name, Source(many, count), text),
        Punctual(bench, f"one row, {count} frames", Source(single, count), rule("all", "239.1.0.0/32", 5000, 1)),
    ]
    return Case(name, programs, list(goals))


def flows(bench, count, goals=()):
    """`count` senders, a flow each, and one sender, on captures of as many frames."""
    text = rule("all", "239.1.0.0/32", 5000, 1, 'flow = "source"\n')
    # A power of two is what the table has; with less than two places a sender some find none.
    places = 1 << (2 * count - 1).bit_length()
    name = f"{count} flows"
    programs = [
        Punctual(bench, label, Source(captures.sources(HERE, count, distinct), count), text,
                 sources=max(65536, places))
        for label, distinct in ((name, count), (f"one flow, {count} frames", 1))
    ]
    return Case(name, programs, list(goals))


def per_copy(bound):
    return [Goal("ns a copy to the floor", OURS, "floor", bound, nanoseconds=True)]


# Rows: 100 prefixes of 256 groups x 4 UDP ports.
ROWS = 102_400
FLOWS = 1_000_000

# Built only when they are asked for: some captures are large.
CASES = {
    "1-1": one_to_one,
    "1-4": one_to_four,
    "1-16": lambda bench: fan_out(bench, 16, 64, per_copy(1.6)),
    "1-16-1400": lambda bench: fan_out(bench, 16, 1400, per_copy(1.6), ()),
    "rows-100k": lambda bench: rules(
        bench, ROWS, [Goal("rate to one row", f"{ROWS} rows", f"one row, {ROWS} frames", 0.6)]
    ),
    "flows-1m": lambda bench: flows(
        bench, FLOWS, [Goal("rate to one flow", f"{FLOWS} flows", f"one flow, {FLOWS} frames", 0.35)]
    ),
    "1-64": lambda bench: fan_out(bench, 64, 64),
    "1-1-256": lambda bench: fan_out(bench, 1, 256),
    "1-1-1400": lambda bench: fan_out(bench, 1, 1400),
    "1-1-9000": lambda bench: fan_out(bench, 1, 9000),
    "1-4-256": lambda bench: fan_out(bench, 4, 256),
    "1-4-1400": lambda bench: fan_out(bench, 4, 1400),
    "1-4-9000": lambda bench: fan_out(bench, 4, 9000),
    "rings": lambda bench: into_rings(bench, 1),
    "rings-4": lambda bench: into_rings(bench, 4),
    "rows-1k": lambda bench: rules(bench, 1000),
    "flows-1k": lambda bench: flows(bench, 1000),
    "flows-100k": lambda bench: flows(bench, 100_000),
}
QUICK = ("1-1", "1-4", "1-16", "1-16-1400", "rows-100k", "flows-1m")
