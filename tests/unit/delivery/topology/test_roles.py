"""The permissions of each kind of user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from celery import Celery

from proj.delivery.consuming.bindings import subscribe
from proj.delivery.install import install
from proj.delivery.topology.roles import Role, orders, permissions, roles

PAGE = Path(__file__).parents[4] / "docs" / "permissions.md"
ID = "4f9d2c1e-0d0c-3f5e-9d1b-5b6c1f3f8a11"


def app(**settings: object) -> Celery:
    made = Celery("anyapp", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    made.conf.update(
        task_default_queue="task_queue",
        task_default_queue_type="quorum",
        task_default_exchange_type="topic",
        **settings,
    )
    install(made)
    return made


def by_name(made: Celery) -> dict[str, Role]:
    return {role.name: role for role in roles(made)}


def may(role: Role, right: str, name: str) -> bool:
    """As RabbitMQ decides it: the pattern is looked for in the name."""
    return re.search(role.permissions[right], name) is not None


def test_page_has_the_permissions_of_every_role() -> None:
    """A reader can give them without running the command."""
    lines = PAGE.read_text().splitlines()

    for role in roles(app()):
        begin = next(number for number, line in enumerate(lines) if line.startswith(f"anyapp-{role.name}: "))
        for right in ("configure", "write", "read"):
            patterns = getattr(role, right) or ("-",)
            start = next(number for number in range(begin, len(lines)) if lines[number].startswith(f"  {right}"))
            shown = [line.split()[-1] for line in lines[start : start + len(patterns)]]
            assert shown == list(patterns), (role.name, right)
            assert lines[start + len(patterns)].strip().split()[0] in {"configure", "write", "read", "tags"}


def test_worker_that_listens_to_broadcasts_may_make_its_queue_for_them() -> None:
    """Each worker has one, which the broker deletes; one that does not listen has none."""
    listening = app()
    subscribe(listening)
    for made, is_listening in ((listening, True), (app(), False)):
        worker, publisher = by_name(made)["worker"], by_name(made)["publisher"]

        assert [may(worker, right, "broadcast.w1@host") for right in ("configure", "write", "read")] == [
            is_listening
        ] * 3
        assert may(worker, "read", "broadcast") is is_listening
        assert may(publisher, "write", "broadcast") is is_listening
        assert not may(publisher, "write", "broadcast.w1@host")


def test_publisher_may_write_to_the_exchange_of_its_tasks_and_nothing_else() -> None:
    """Not to a queue by its name, and read nothing."""
    publisher = by_name(app())["publisher"]

    assert (publisher.configure, publisher.read) == ((), ())
    assert publisher.permissions["configure"] == "^$"
    assert may(publisher, "write", "task_queue")
    for name in ("amq.default", "task_queue2", "my_task_queue", "dead_letters", "celery.pidbox", "celeryev"):
        assert not may(publisher, "write", name)


@pytest.mark.parametrize(
    ("settings", "right", "name"),
    [
        ({"task_default_exchange_type": "direct"}, "write", "amq.default"),
        ({"result_backend": "rpc://"}, "configure", ID),
        ({"result_backend": "rpc://"}, "read", ID),
        ({"task_send_sent_event": True}, "write", "celeryev"),
    ],
)
def test_settings_give_a_publisher_the_right_that_they_need(settings: dict[str, object], right: str, name: str) -> None:
    """And an app without them does not have it."""
    made = app()
    made.conf.update(settings)

    assert may(by_name(made)["publisher"], right, name)
    assert not may(by_name(app())["publisher"], right, name)


@pytest.mark.parametrize("role", ["publisher", "worker", "monitor", "operator"])
@pytest.mark.parametrize("name", ["task_queue", "task_queue.suspects", "celery.pidbox", "celeryev", "amq.default", "o"])
def test_nobody_but_the_platform_may_make_or_delete_what_lasts(role: str, name: str) -> None:
    """An operator may do that with the dead letters and the pauses alone."""
    assert not may(by_name(app())[role], "configure", name)


def test_monitor_may_touch_no_task_and_no_worker() -> None:
    """Neither take a task nor send one, nor tell a worker anything."""
    monitor = by_name(app())["monitor"]

    for name in ("task_queue", "dead_letters", "amq.default", "celery.pidbox", "task_queue.suspects"):
        assert not may(monitor, "read", name)
        assert not may(monitor, "write", name)


def test_worker_may_not_end_a_pause() -> None:
    """It reads the mark, which RabbitMQ 4.3 shows to those with any right on it."""
    worker = by_name(app())["worker"]

    assert may(worker, "read", "proj.paused.task_queue")
    assert not may(worker, "configure", "proj.paused.task_queue")
    assert may(by_name(app())["operator"], "configure", "proj.paused.task_queue")


def test_permissions_are_given_by_file_and_by_command_alike() -> None:
    """For the same users and patterns."""
    made = roles(app())

    file = {
        each["user"]: [each[right] for right in ("configure", "write", "read")]
        for each in permissions(made, "v", "shop")["permissions"]
    }
    by_command = {words[3]: words[4:] for words in orders(made, "v", "shop") if words[0] == "set_permissions"}
    assert file == by_command
    assert set(file) == {f"shop-{role.name}" for role in made}
