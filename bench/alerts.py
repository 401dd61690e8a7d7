"""How many seconds after a fault its alert fires: real faults, the real dashboard, and a real Prometheus.

    python bench/alerts.py faults [--record FILE] [SCENE...]     about 20 minutes
    python bench/alerts.py quiet [--minutes 62]

`faults` strikes each fault of bench/alerts/scenes.py, on a queue and a worker of its own, and prints the seconds until
the alert that it must raise is pending and until it fires, and every other alert that fired. `--record` adds what
Prometheus has scraped to a file such as tests/unit/dashboard/prometheus/recorded_faults.yml. `quiet` runs tasks,
retries and ETAs on three queues and four workers while a fourth queue is paused, and prints every alert that was
pending or fired; after an hour that of the pause fires.

Caveats: nothing is compressed in time, and the intervals are those of deploy/prometheus.yml. An alert fires at an
evaluation, of which there is one in 15 s, so the same fault may take 30 s more or less the next time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from alerts.recording import recording
from alerts.scenes import ALONE, TOGETHER
from alerts.system import System

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerts.scenes import Scene

#: Seconds for which all is well before the first fault; until a worker works; and between two looks at the alerts.
BASE_S, LOOK_S = 90.0, 1.0
Seen = dict[tuple[str, str], dict[str, float]]


def look(system: System, seen: Seen) -> None:
    """Write down when each alert was seen for the first time in its state."""
    for alert, state in system.prometheus.alerts().items():
        if state not in seen.setdefault(alert, {}):
            seen[alert][state] = time.time()
            print(f"  {time.strftime('%H:%M:%S')} {state}: {' '.join(alert)}", flush=True)


def watch(system: System, seen: Seen, seconds: float, *awaited: Scene) -> None:
    """Look for so many seconds, or until the alert of every awaited scene fires."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        look(system, seen)
        if awaited and all("firing" in seen.get((one.alert, one.queue), {}) for one in awaited):
            return
        time.sleep(LOOK_S)


@click.group(help=__doc__)
def main() -> None:
    """Measure alerts."""


@main.command()
@click.option("--record", type=click.Path(path_type=Path), help="Add what was scraped to a file.")
@click.argument("names", nargs=-1)
def faults(names: tuple[str, ...], record: Path | None) -> None:
    """Strike each fault, or those with these names."""
    together, alone = ([one for one in scenes if one.name in names or not names] for scenes in (TOGETHER, ALONE))
    seen: Seen = {}
    struck: dict[str, float] = {}
    with System() as system:
        began = time.time()
        system.worker("base")
        system.publish("base", "work", 0.05, every_s=0.2)
        plays: list[tuple[Scene, Iterator[None]]] = [(one, one.play(system)) for one in together]
        for _, play in plays:
            next(play)
        watch(system, seen, BASE_S)
        for scene, play in plays:
            struck[scene.name] = time.time()
            next(play, None)
        watch(system, seen, 2 * max((one.within_s for one in together), default=0), *together)
        for scene in alone:
            play = scene.play(system)
            next(play)
            struck[scene.name] = time.time()
            print(f"  {time.strftime('%H:%M:%S')} strikes: {scene.name}", flush=True)
            next(play, None)
            watch(system, seen, 2 * scene.within_s, scene)
            next(play, None)
            watch(system, seen, 2 * LOOK_S)
        if record is not None:
            told = [
                {"name": one.name, "alert": one.alert, "queue": one.queue, "within": one.within_s, "struck": at}
                for one in (*together, *alone)
                if (at := struck[one.name])
            ]
            with record.open("a") as file:
                file.write(recording(system.prometheus.series(began, time.time()), began, told))
    table([*together, *alone], struck, seen)


def table(scenes: list[Scene], struck: dict[str, float], seen: Seen) -> None:
    """Print a row for each fault, and what else fired."""
    print("| fault | alert | pending after | fires after | must within |\n| --- | --- | --- | --- | --- |")
    late = []
    for scene in scenes:
        at = seen.pop((scene.alert, scene.queue), {})
        after = {state: time_s - struck[scene.name] for state, time_s in at.items()}
        shown = [f"{after[state]:.0f} s" if state in after else "-" for state in ("pending", "firing")]
        print(f"| {scene.name} | {scene.alert} | {' | '.join(shown)} | {scene.within_s:.0f} s |")
        if not 0 <= after.get("firing", -1) <= scene.within_s:
            late.append(scene.name)
    others = [" ".join(alert) for alert, states in seen.items() if "firing" in states]
    print(f"also fired: {', '.join(others) or 'none'}; late: {', '.join(late) or 'none'}")
    sys.exit(1 if late else 0)


@main.command()
@click.option("--minutes", default=62.0, show_default=True, help="How long.")
def quiet(minutes: float) -> None:
    """Run tasks without a fault, beside a paused queue."""
    seen: Seen = {}
    with System() as system:
        for name, queues in (("w1", ("mail",)), ("w2", ("mail", "media")), ("w3", ("media",)), ("w4", ("reports",))):
            system.worker(*queues, name=name)
        system.worker("paused")
        system.publish("paused", "work", 0.1)
        for queue in ("mail", "media", "reports"):
            for task, seconds, every_s in (("work", 0.02, 0.3), ("work", 1.0, 2.0), ("again", 0.2, 5.0)):
                system.publish(queue, task, seconds, every_s=every_s)
            system.publish(queue, "work", 0.1, every_s=7.0, countdown=5.0)
        watch(system, seen, BASE_S)
        system.command("queues", "pause", "paused")
        for _ in range(5):
            system.publish("paused", "work", 0.1)
        watch(system, seen, minutes * 60)
        begun = system.prometheus.ask("query", query="sum(proj_tasks_started_total)")["result"]
    fired = [f"{' '.join(alert)}" for alert, states in seen.items() if "firing" in states]
    print(f"{begun[0]['value'][1]} tasks were begun in {minutes:g} minutes; {system.published} were published.")
    print(f"fired: {', '.join(fired) or 'none'}; pending: {', '.join(' '.join(alert) for alert in seen) or 'none'}")


if __name__ == "__main__":
    main()
