"""Every message that hypothesis can think of is run or becomes a dead letter, and is counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from amqp.basic_message import Message
from hypothesis import HealthCheck, Phase, given, settings

from tests.hostility import MESSAGES, Hostile

if TYPE_CHECKING:
    from tests.integration.keeping.conftest import Scene

NUMBER = 300


def test_every_message_runs_or_becomes_a_dead_letter_and_the_worker_works_on(scene: Scene) -> None:
    """Each of some hundred is counted once, the good ones between them run, and the slots are all there."""
    worker = scene.worker(slots=2)
    pid = worker.pid
    published: list[str] = []
    good: set[str] = set()

    @settings(
        max_examples=NUMBER,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(MESSAGES)
    def publish(hostile: Hostile) -> None:
        number = f"{len(published)}"
        properties = {**hostile.properties, "message_id": number}
        scene.publish(Message(hostile.body, application_headers=hostile.headers, **properties))
        published.append(number)
        if len(published) % 10 == 0:
            good.add(scene.send("kept.good", len(published)))

    publish()

    def counted() -> Counter[str]:
        ran = Counter(line.split()[2] for line in scene.lines() if line.startswith("end anything "))
        return ran + Counter(str(letter["properties"].get("message_id")) for letter in scene.dead())

    scene.await_(lambda: counted().keys() >= set(published), "every message to end somewhere", timeout_s=60)
    scene.await_(lambda: scene.ended() >= good, "the good ones to run")
    last = {scene.send("kept.good", number, 0.5) for number in (1, 2)}
    scene.await_(lambda: scene.begun() >= last, "both slots")
    assert not last & scene.ended()
    assert counted() == Counter(published)
    assert all(reason.endswith(".") for reason in scene.reasons())
    assert worker.running
    assert worker.pid == pid
    scene.await_(lambda: scene.ended() >= last and scene.depth() == 0, "the end")
