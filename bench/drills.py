"""Tables of what all drills counted on several versions of RabbitMQ.

    for v in 3.10 4.0 4.3; do celery -A proj lab drill --version $v --json >$v.json; done
    python bench/drills.py 3.10.json 4.0.json 4.3.json

The name of a file is the heading of its columns. It prints two Markdown tables: the sums of all drills, and a row for
each fault with one cell for its drills on a quorum and on a classic queue. Of drills on a cluster (`--nodes 3`) it
prints a row for each fault and version.

Caveats: how many tasks were in progress when a fault struck is chance, so the counts differ from run to run. The time
of a drill includes the start of its workers, the wait for the effect of the fault, and the check of all slots.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from proj.lab.drills.faults.catalogue import CLUSTER_FAULTS, FAULTS
from proj.queues import CLASSIC, QUORUM

Drills = list[dict[str, Any]]
#: The cell of a drill that cannot happen on this version.
SKIPPED = "-"


def main(paths: list[str]) -> None:
    """Print the tables of the files."""
    if not paths:
        sys.exit("Name the files that `celery -A proj lab drill --json` wrote.")
    versions = {Path(path).stem: json.loads(Path(path).read_text()) for path in paths}
    if any(
        each["fault"] in {fault.name for fault in CLUSTER_FAULTS} for drills in versions.values() for each in drills
    ):
        show_cluster(versions)
        return
    rows: dict[str, list[str]] = {"": list(versions), "---": ["---"] * len(versions)}
    for drills in versions.values():
        for what, value in sums(drills).items():
            rows.setdefault(what, []).append(value)
    for what, cells in rows.items():
        show([what, *cells])
    print()
    show(["fault", *(head for name in versions for head in (f"{name}: twice", "seconds"))])
    show(["---"] * (1 + 2 * len(versions)))
    for fault in FAULTS:
        chosen = [drills_of(fault.name, drills) for drills in versions.values()]
        show([f"`{fault.name}`", *(cell for drills in chosen for cell in (twice(drills), seconds(drills)))])


def show_cluster(versions: dict[str, Drills]) -> None:
    """Print what each drill on a cluster counted and measured."""
    show(["fault", "RabbitMQ", "confirmed", "raised", "lost", "twice / in flight", "longest pause", "rest done after"])
    show(["---"] * 8)
    for fault in CLUSTER_FAULTS:
        for name, drills in versions.items():
            for each in drills:
                if each["fault"] == fault.name:
                    show(
                        [
                            f"`{fault.name}`",
                            name,
                            str(each["confirmed"]),
                            str(each["raised"]),
                            str(len(each["lost"])),
                            f"{each['executed_twice']}/{each['in_flight']}",
                            measured(each["pause_s"]),
                            measured(each["rest_s"]),
                        ]
                    )


def measured(value: float | None) -> str:
    """Seconds, or that they were not measured."""
    return SKIPPED if value is None else f"{value:.1f} s"


def sums(drills: Drills) -> dict[str, str]:
    """What all drills counted together."""
    return {
        "drills": f"{len(drills)}",
        "as promised": f"{sum(not each['complaints'] for each in drills)}",
        "tasks confirmed": f"{sum(each['confirmed'] for each in drills):,}",
        "raised": f"{sum(each['raised'] for each in drills)}",
        "dead letters": f"{sum(each['dead_lettered'] for each in drills)}",
        "lost": f"{sum(len(each['lost']) for each in drills)}",
        "executed twice / in flight": "{}/{}".format(
            sum(each["executed_twice"] for each in drills), sum(each["in_flight"] for each in drills)
        ),
        "seconds on quorum queues": f"{sum(each['seconds'] for each in drills if each['queue_type'] == QUORUM):.0f}",
        "seconds on classic queues": f"{sum(each['seconds'] for each in drills if each['queue_type'] == CLASSIC):.0f}",
    }


def drills_of(fault: str, drills: Drills) -> list[dict[str, Any] | None]:
    """The drill of this fault on a quorum queue and that on a classic queue; None for one that was skipped."""
    found = {each["queue_type"]: each for each in drills if each["fault"] == fault}
    return [found.get(QUORUM), found.get(CLASSIC)]


def twice(drills: list[dict[str, Any] | None]) -> str:
    """Executions beyond the first of each task / the most that the fault allows."""
    return ", ".join(f"{each['executed_twice']}/{each['in_flight']}" if each else SKIPPED for each in drills)


def seconds(drills: list[dict[str, Any] | None]) -> str:
    """How long each drill took."""
    return ", ".join(f"{each['seconds']:.0f}" if each else SKIPPED for each in drills)


def show(cells: list[str]) -> None:
    """Print a row of a Markdown table."""
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
