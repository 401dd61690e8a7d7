"""How many seconds after a fault its alert fires: real faults, the real dashboard, and a real Prometheus.

    python bench/alerts.py faults [--record FILE] [SCENE...]     15 to 20 minutes
    python bench/alerts.py quiet [--record FILE] [--minutes 62]

`faults` strikes each fault of bench/alerts/scenes/, each on a queue and a worker of its own, and prints the seconds
until the alert that it must raise is pending and until it fires, and every other alert that fired. `--record` adds what
Prometheus has scraped to a file such as tests/unit/dashboard/prometheus/recorded_faults.yml. `quiet` runs tasks,
retries and ETAs on three queues and four workers while a fourth queue is paused, and prints every alert that was
pending or fired; after an hour that of the pause fires.

Caveats: nothing is compressed in time, and the intervals are those of deploy/prometheus.yml. An alert fires at an
evaluation, of which there is one in 15 s, so the same fault may take 30 s more or less the next time. The broker takes
an unacknowledged message back after two minutes, and not after half an hour.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from alerts.app import CONSUMER_TIMEOUT_S
from alerts.recording import recording
from alerts.scene import SHARED
from alerts.scenes.catalogue import ALONE, TOGETHER
from alerts.system import System

from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from alerts.scene import Scene

#: Seconds for which all is well before the first fault, and between two looks at the alerts.
BASE_S, LOOK_S = 60.0, 1.0
#: When each alert was first in its state, by virtual host, name and queue.
Seen = dict[tuple[str, str, str], dict[str, float]]


@contextmanager
def running(hosts: Iterable[str]) -> Iterator[dict[str, System]]:
    """A system for each virtual host, all on one broker."""
    # Celery would take it instead of the address of each system.
    os.environ.pop("CELERY_BROKER_URL", None)
    settings = {"consumer_timeout": str(CONSUMER_TIMEOUT_S * 1000)}
    with Guard() as guard, Broker(guard, settings=settings) as broker, ExitStack() as systems:
        yield {host: systems.enter_context(System(guard, broker, host)) for host in hosts}


def look(systems: Mapping[str, System], seen: Seen) -> None:
    """Write down when each alert was seen for the first time in its state."""
    for host, system in systems.items():
        for alert, state in system.prometheus.alerts().items():
            times = seen.setdefault((host, *alert), {})
            if state not in times:
                times[state] = time.time()
                say(f"{state}: {host} {' '.join(alert)}")


def watch(systems: Mapping[str, System], seen: Seen, *awaited: Scene, seconds: float = 0.0) -> None:
    """Look for so many seconds, and until each scene is over."""
    began = time.monotonic()
    while (took_s := time.monotonic() - began) < seconds or not all(is_over(one, seen, took_s) for one in awaited):
        look(systems, seen)
        time.sleep(LOOK_S)


def is_over(scene: Scene, seen: Seen, took_s: float) -> bool:
    """Whether its alert fires, or is late by as much again; without one, whether it was watched for long enough."""
    if scene.alert and "firing" in seen.get(key(scene), {}):
        return True
    return took_s >= (2 * scene.within_s if scene.alert else scene.within_s)


def key(scene: Scene) -> tuple[str, str, str]:
    """Of what it must raise."""
    return scene.host, scene.alert, scene.queue


def say(text: str) -> None:
    """Print it with the time."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", flush=True)


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
    with running(dict.fromkeys([SHARED, *(one.host for one in together)])) as systems:
        began = time.time()
        systems[SHARED].worker("base")
        systems[SHARED].publish("base", "work", 0.05, every_s=0.2)
        plays: list[tuple[Scene, Iterator[None]]] = [(one, one.play(systems[one.host])) for one in together]
        for _, play in plays:
            next(play)
        for system in systems.values():
            system.wait_for_consumers()
        watch(systems, seen, seconds=BASE_S)
        for scene, play in plays:
            struck[scene.name] = time.time()
            say(f"strikes: {scene.name}")
            next(play, None)
        watch(systems, seen, *together)
        for scene in alone:
            play = scene.play(systems[scene.host])
            next(play)
            struck[scene.name] = time.time()
            say(f"strikes: {scene.name}")
            next(play, None)
            watch(systems, seen, scene)
            next(play, None)
            watch(systems, seen, seconds=2 * LOOK_S)
        if record is not None:
            with record.open("a") as file:
                for host, system in systems.items():
                    told = [
                        {
                            "name": one.name,
                            "alert": one.alert,
                            "queue": one.queue,
                            "within": one.within_s,
                            "struck": struck[one.name],
                        }
                        for one in (*together, *alone)
                        if one.host == host
                    ]
                    file.write(recording(system.prometheus.series(began, time.time()), began, told) if told else "")
    table([*together, *alone], struck, seen)


def table(scenes: list[Scene], struck: dict[str, float], seen: Seen) -> None:
    """Print a row for each fault, and what else fired."""
    print("| fault | alert | pending after | fires after | must within |\n| --- | --- | --- | --- | --- |")
    late = []
    for scene in scenes:
        if not scene.alert:
            print(f"| {scene.name} | none | | | {scene.within_s:.0f} s |")
            continue
        at = seen.pop(key(scene), {})
        after = {state: time_s - struck[scene.name] for state, time_s in at.items()}
        shown = [f"{after[state]:.0f} s" if state in after else "-" for state in ("pending", "firing")]
        print(f"| {scene.name} | {scene.alert} | {' | '.join(shown)} | {scene.within_s:.0f} s |")
        if not 0 <= after.get("firing", -1) <= scene.within_s:
            late.append(scene.name)
    others = [" ".join(alert) for alert, states in seen.items() if "firing" in states]
    print(f"also fired: {', '.join(others) or 'none'}; late: {', '.join(late) or 'none'}")
    sys.exit(1 if late else 0)


@main.command()
@click.option("--record", type=click.Path(path_type=Path), help="Add what was scraped to a file.")
@click.option("--minutes", default=62.0, show_default=True, help="How long.")
def quiet(minutes: float, record: Path | None) -> None:
    """Run tasks without a fault, beside a paused queue."""
    seen: Seen = {}
    with running([SHARED]) as systems:
        system = systems[SHARED]
        for name, queues in (("w1", ("mail",)), ("w2", ("mail", "media")), ("w3", ("media",)), ("w4", ("reports",))):
            system.worker(*queues, name=name)
        system.worker("paused")
        system.publish("paused", "work", 0.1)
        for queue in ("mail", "media", "reports"):
            for task, seconds, every_s in (("work", 0.02, 0.3), ("work", 1.0, 2.0), ("again", 0.2, 5.0)):
                system.publish(queue, task, seconds, every_s=every_s)
            system.publish(queue, "work", 0.1, every_s=7.0, countdown=5.0)
        watch(systems, seen, seconds=BASE_S)
        system.command("queues", "pause", "paused")
        for _ in range(5):
            system.publish("paused", "work", 0.1)
        paused = time.time()
        watch(systems, seen, seconds=minutes * 60)
        if record is not None:
            told = {"name": "quiet", "alert": "", "queue": "", "within": round(minutes * 60), "struck": paused}
            with record.open("a") as file:
                file.write(recording(system.prometheus.series(paused, time.time()), paused, [told]))
        begun = system.prometheus.ask("query", query="sum(proj_tasks_started_total)")["result"]
    fired = [" ".join(alert) for alert, states in seen.items() if "firing" in states]
    print(f"{begun[0]['value'][1]} tasks were begun in {minutes:g} minutes; {system.published} were published.")
    print(f"fired: {', '.join(fired) or 'none'}; pending: {', '.join(' '.join(alert) for alert in seen) or 'none'}")


if __name__ == "__main__":
    main()
