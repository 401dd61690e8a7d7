"""Generated messages: each is run or becomes a dead letter, exactly once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from amqp.basic_message import Message
from hypothesis import HealthCheck, Phase, given, settings

from tests.hostility import MESSAGES, Hostile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.keeping.conftest import SystemUnderTest

NUMBER = 300


def test_any_message_is_run_or_dead_lettered_once_and_the_worker_goes_on(
    system: SystemUnderTest, tmp_path: Path
) -> None:
    """Each of 300 generated messages ends once, the valid ones between them run, and no slot is lost."""
    worker = system.worker(slots=2)
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
        system.publish(Message(hostile.body, application_headers=hostile.headers, **properties))
        published.append(number)
        if len(published) % 10 == 0:
            good.add(system.send("kept.good", len(published)))

    publish()

    def counted() -> Counter[str]:
        ran = Counter(line.split()[2] for line in system.lines() if line.startswith("end anything "))
        return ran + Counter(str(letter["properties"].get("message_id")) for letter in system.dead())

    system.await_(lambda: counted().keys() >= set(published), "the end of every message", timeout_s=60)
    system.await_(lambda: system.ended() >= good, "the good ones to run")
    last = {system.send("kept.good", number, str(tmp_path / "end")) for number in (1, 2)}
    system.await_(lambda: system.begun() >= last, "both slots")
    assert not last & system.ended()
    assert counted() == Counter(published)
    assert all(reason.endswith(".") for reason in system.reasons())
    assert worker.running
    assert worker.pid == pid
    (tmp_path / "end").touch()
    system.await_(lambda: system.ended() >= last and system.depth() == 0, "the end")
