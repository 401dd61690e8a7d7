"""The JSON of the view Now in six states, and with many queues and workers; computed from invented events."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from proj.dashboard.live.now.now import now_document
from proj.dashboard.live.snapshot import event_counts
from tests.unit.dashboard.live.now.scene import BEGIN, Scene

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUES = ("mail", "media", "reports")
#: Seconds of a scene.
LASTS_S = 75.0


def document(scene: Scene, window_s: int | None = 60) -> bytes:
    """What `/dispatch/now` answers."""
    state = scene.source.state
    counts = event_counts(state, heard=scene.source.heard, refused=0, dropped=0)
    origin: dict[str, Any] = {"generation": "1", "source": "live", "journal": None}
    return now_document(state, counts, window_s, origin=origin, now=BEGIN + scene.time)


def fine() -> Scene:
    """Three queues and four workers; every task begins at once."""
    scene, dice = Scene(), random.Random(1)  # noqa: S311 invented events
    for queue in QUEUES:
        scene.depth(queue, 0, 2, 4)
    for number in range(1, 5):
        scene.worker(f"w{number}", *QUEUES, slots=4)
    for number in range(600):
        sent = 1 + number * 0.12
        work(scene, dice.choice(QUEUES), f"w{number % 4 + 1}", sent, sent + 0.02, dice.uniform(0.1, 1.5))
    return played(scene)


def unfair() -> Scene:
    """w3 holds tasks behind a long one, while w1 and w5 have nothing to do."""
    scene = Scene()
    scene.depth("mail", 0, 14, 3)
    scene.depth("media", 0, 1, 2)
    for name in ("w1", "w3", "w5"):
        scene.worker(name, "mail", slots=1, dispatch="round-robin")
    for name in ("m1", "m2"):
        scene.worker(name, "media", slots=2)
    for number in range(20):
        for name in ("w1", "w5"):
            work(scene, "mail", name, 1 + number * 1.2, 1 + number * 1.2, 0.6)
        work(scene, "media", "m1", 1 + number * 3, 1 + number * 3, 2.5)
    scene.task("mail", "w3", sent=50, received=50, started=50)
    for _ in range(12):
        scene.task("mail", "w3", sent=52, received=52)
    return played(scene)


def stuck() -> Scene:
    """Nobody consumes media."""
    scene = Scene()
    scene.depth("mail", 0, 1, 3)
    for name in ("w1", "w2", "w3"):
        scene.worker(name, "mail", slots=2)
    for number in range(100):
        work(scene, "mail", f"w{number % 3 + 1}", 1 + number * 0.7, 1 + number * 0.7, 0.8)
    for second in range(int(LASTS_S)):
        scene.depth("media", second * 4, 0, 0)
        scene.task("media", sent=second)
        scene.play(second)
    return played(scene)


def losing() -> Scene:
    """m1, which acknowledges before it works, was killed with three tasks and started again."""
    scene = Scene()
    for queue in ("mail", "media"):
        scene.depth(queue, 0, 0, 2)
    for name in ("w1", "w2"):
        scene.worker(name, "mail", slots=2)
    scene.worker("m1", "media", slots=4, dispatch="round-robin", early=("theirs.task",))
    for number in range(100):
        work(scene, "mail", f"w{number % 2 + 1}", 1 + number * 0.7, 1 + number * 0.7, 0.8)
    for number in range(3):
        scene.task("media", "m1", sent=20 + number, received=20 + number, started=21 + number)
    scene.play(40)
    scene.restart("m1")
    return played(scene)


def broker_away() -> Scene:
    """Since 20 seconds the broker does not answer."""
    scene = Scene()
    for queue in QUEUES:
        scene.depth(queue, 3, 2, 2)
    for name in ("w1", "w2"):
        scene.worker(name, *QUEUES, slots=2)
    for number in range(60):
        work(scene, QUEUES[number % 3], f"w{number % 2 + 1}", 1 + number * 0.8, 1.5 + number * 0.8, 1.2)
    scene.play(LASTS_S - 20)
    scene.broker_away()
    for name in ("w1", "w2"):
        scene.stop_heartbeats(name)
    return played(scene)


def empty() -> Scene:
    """Three workers, and nothing to do."""
    scene = Scene()
    scene.depth("mail", 0, 0, 3)
    for name in ("w1", "w2", "w3"):
        scene.worker(name, "mail", slots=2)
    return played(scene)


def many(queues: int = 30, workers: int = 50) -> Scene:
    """Many queues, and many workers of eight slots with three queues each; a few of both have trouble."""
    scene, dice = Scene(), random.Random(2)  # noqa: S311 invented events
    names = [f"{kind}.{region}" for region in ("north", "south", "east", "west", "centre") for kind in KINDS][:queues]
    for number in range(1, workers + 1):
        own = [names[(number * 3 + step) % queues] for step in range(3)]
        scene.worker(f"worker-{number}", *own, slots=8)
        for task in range(30):
            sent = 1 + task * 2.3 + dice.random()
            work(scene, dice.choice(own), f"worker-{number}", sent, sent + 0.02, dice.uniform(0.1, 4.0))
    busy = [f"worker-{number}" for number in (7, 23)]
    for name in busy:
        for _ in range(8):
            scene.task(names[int(name[7:]) * 3 % queues], name, sent=20, received=20, started=20)
        for _ in range(9):
            scene.task(names[int(name[7:]) * 3 % queues], name, sent=30, received=30)
    for second in range(0, int(LASTS_S), 5):
        for place, name in enumerate(names):
            scene.depth(
                name, max(0, dice.randint(-2, 3)) if place != 4 else second * 9, dice.randint(2, 9), 5 * (place != 4)
            )
        scene.play(second)
    return played(scene)


KINDS = ("mail", "media", "reports", "thumbnails", "imports", "webhooks")
STATES: dict[str, Callable[[], Scene]] = {
    "fine": fine,
    "unfair": unfair,
    "stuck": stuck,
    "losing": losing,
    "broker-away": broker_away,
    "empty": empty,
}


def work(scene: Scene, queue: str, worker: str, sent: float, started: float, lasts: float) -> None:
    """A task that is received and started at once."""
    scene.task(queue, worker, sent=sent, received=started, started=started, ended=started + lasts, runtime=lasts)


def played(scene: Scene) -> Scene:
    """The scene at its end."""
    scene.play(LASTS_S)
    return scene
