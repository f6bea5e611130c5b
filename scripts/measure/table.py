"""What is printed and kept: one table of all programs, one of the goals, and JSON."""

import json


def number(value, digits):
    middle, low, high = (f"{value[key]:.{digits}f}" for key in ("median", "low", "high"))
    return f"{middle} ({low}..{high})"


def print_rows(case, rows):
    print(f"\n{case}")
    heads = ("Mpps in", "Mpps out", "ns a packet", "ns a copy", "A/A")
    print(" " * 28 + "".join(f"{head:>22}" for head in heads))
    for label, row in rows.items():
        cells = [
            number(row["in_mpps"], 2), number(row["out_mpps"], 2), number(row["ns_per_packet"], 1),
            number(row["ns_per_copy"], 1), number(row["a_a"], 2),
        ]
        print(f"  {label:26}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def goal(case, what, value, sign, bound, digits=2):
    """A line of the goals' table; `value` is a spread."""
    median = value["median"]
    reached = median >= bound if sign == ">=" else median <= bound
    return {"case": case, "what": what, "value": value, "to_reach": f"{sign} {bound}",
            "reached": reached, "digits": digits}


def print_goals(goals):
    print("\n| case | what | measured (95 %) | to reach | |")
    print("|---|---|---|---|---|")
    for line in goals:
        measured = number(line["value"], line["digits"])
        verdict = "reached" if line["reached"] else "**not reached**"
        print(f"| {line['case']} | {line['what']} | {measured} | {line['to_reach']} | {verdict} |")


def keep(path, kept):
    path.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"\nkept in {path}")
