"""Rounds of blocks, A B B A, and what is taken from them: medians of ratios, each within its half."""

import random
import statistics

from . import host

RESAMPLES = 2000
TRIES = 3  # of a block that somebody disturbed
THROWN_OUT_MAX = 60  # in all; a host that disturbs more will not be quiet soon


class Count:
    """Blocks that were thrown out, and disturbed ones that had to be kept."""

    thrown_out = 0
    kept_disturbed = 0


def block(program, patient):
    """One block; a disturbed one is thrown out and repeated, but not for ever."""
    for attempt in range(TRIES):
        found = program.run()
        if found.noise is None:
            return found
        if not patient or attempt + 1 == TRIES or Count.thrown_out >= THROWN_OUT_MAX:
            Count.kept_disturbed += 1
            return found
        Count.thrown_out += 1
        host.say(f"thrown out: {program.label}: {found.noise}")
    return found


def halves(programs, rounds, patient):
    """A list of {label: Block}: each round there and back, so that a drift touches all alike."""
    found = []
    for _ in range(rounds):
        for order in (programs, programs[::-1]):
            found.append({program.label: block(program, patient) for program in order})
    return found


def spread(values):
    """The median and its 95 % interval, by bootstrap."""
    draw = random.Random(1)
    medians = sorted(
        statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return {
        "median": statistics.median(values),
        "low": medians[int(RESAMPLES * 0.025)],
        "high": medians[int(RESAMPLES * 0.975)],
        "blocks": len(values),
    }


def summarise(halves_found):
    """By program: rates, nanoseconds, and the ratio of its own two halves of a round (A/A)."""
    rows = {}
    for label in halves_found[0]:
        blocks = [half[label] for half in halves_found]
        own = [there.out / back.out for there, back in zip(blocks[::2], blocks[1::2])]
        rows[label] = {
            "in_mpps": spread([block.into / 1e6 for block in blocks]),
            "out_mpps": spread([block.out / 1e6 for block in blocks]),
            "ns_per_packet": spread([1e9 / block.into for block in blocks]),
            "ns_per_copy": spread([1e9 / block.out for block in blocks]),
            "a_a": spread(own),
        }
    return rows


def ratio(halves_found, one, other):
    """Copies out of `one` to those of `other`; each ratio within its half of a round."""
    return spread([half[one].out / half[other].out for half in halves_found])
