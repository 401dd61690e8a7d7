"""Every command block of the README and of docs/, typed from top to bottom as it is printed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until
from tests.acceptance.printed import ROOT, TIMEOUT_S, Terminals, blocks, pages_with_commands
from tests.acceptance.test_journal_compare import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.timeout(900)

#: An app of a user's, as `-A anyapp` stands for on the pages.
ANYAPP = """
import time

from celery import Celery
from proj.delivery.install import install

app = Celery("anyapp")
app.conf.update(
    task_default_queue="task_queue",
    task_default_queue_type="quorum",
    task_default_exchange_type="topic",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)
install(app)


@app.task(name="anyapp.tasks.broken", acks_on_failure_or_timeout=False)
def broken():
    raise ValueError("no")


@app.task
def add(x, y):
    return x + y
"""
#: What each worker says when it consumes.
READY = " ready."
WORKER = "celery -A anyapp worker --hostname celery@%h --concurrency 1"


def readme(terminals: Terminals) -> None:
    terminals.leave_out("scripts/demo", "test_demo.py runs the demo, and the gate its installation")
    terminals.leave_out("scripts/test", "it runs this test")
    broker = terminals.start("celery -A proj lab broker", until="RabbitMQ answers on port")
    # Pasted into the other terminals.
    terminals.variables.update(re.findall(r"^export (\w+)=(.*)$", broker.log_text(), re.MULTILINE))
    worker = "celery -A proj worker --loglevel INFO --concurrency 1"
    workers = [terminals.start(worker, until=READY), terminals.open(worker, until=READY)]
    sent = terminals.run(
        'celery -A proj send "First message." "Second message.." "Third message..." "Fourth message...." '
        '"Fifth message....."'
    )
    assert sent.count("[x] Sent") == 5
    assert "task_queue" in terminals.run("celery -A proj queues")
    wait_until(
        lambda: sum(each.log_text().count("succeeded in") for each in workers) == 5,
        what="the five messages",
        timeout_s=TIMEOUT_S,
    )
    terminals.interrupt(terminals.start("celery -A proj dashboard", until="The Dispatch page is at"))
    first, yourapp = blocks("README.md", "python")
    terminals.python(first)
    for each in workers:
        # As every worker of Celery's.
        terminals.interrupt(each, status=1)

    (terminals.folder / "yourapp.py").write_text(yourapp)
    terminals.run("celery -A yourapp queues policy --apply")
    terminals.start("celery -A yourapp worker", until=READY)
    call = "celery -A yourapp call yourapp.add --args '[1, 2]'"
    terminals.run(call)
    assert "yes: answers" in terminals.run("celery -A yourapp health")
    terminals.run("celery -A yourapp queues dead")
    terminals.interrupt(terminals.start("celery -A yourapp dashboard", until="The Dispatch page is at"))
    recorder = terminals.start("celery -A yourapp journal record -o run.sqlite", until="Recording into run.sqlite")
    terminals.aside(call)
    terminals.interrupt(recorder)
    assert "finished" in terminals.run("celery -A yourapp journal audit run.sqlite")
    terminals.run("celery -A yourapp queues halt --queue yourapp --drain")


def dashboard(terminals: Terminals) -> None:
    terminals.begin("celery -A anyapp dashboard", until="The Dispatch page is at", status=0)


def dead_letters(terminals: Terminals) -> None:
    terminals.open(WORKER, until=READY)
    for _ in range(2):
        terminals.aside("celery -A anyapp call anyapp.tasks.broken")
    letters: list[str] = []

    def found() -> bool:
        lines = terminals.aside("celery -A anyapp queues dead --json").splitlines()
        letters[:] = [json.loads(line)["id"] for line in lines if line.startswith("{")]
        return len(letters) == 2

    wait_until(found, what="two dead letters", timeout_s=TIMEOUT_S)
    assert letters[0] in terminals.run("celery -A anyapp queues dead")
    assert "headers" in terminals.run("celery -A anyapp queues dead --show ID", fill={" ID": f" {letters[0]}"})
    assert "Requeued" in terminals.run("celery -A anyapp queues dead --requeue ID…", fill={"ID…": " ".join(letters)})
    wait_until(found, what="two dead letters, after they were requeued", timeout_s=TIMEOUT_S)
    by_task = terminals.run("celery -A anyapp queues dead --requeue --task anyapp.tasks.broken")
    assert by_task.count("Requeued") == 2
    wait_until(found, what="two dead letters, after they were requeued again", timeout_s=TIMEOUT_S)
    terminals.run("celery -A anyapp queues dead --export letters.jsonl --purge --task anyapp.tasks.broken", status=1)
    assert len((terminals.folder / "letters.jsonl").read_text().splitlines()) == 2
    terminals.run("celery -A anyapp queues policy")
    terminals.run("celery -A anyapp queues policy --apply")


def delivery(terminals: Terminals) -> None:
    terminals.begin("celery -A proj lab drill", until="as promised", status=130)
    terminals.leave_out("celery -A proj lab drill --short", "test_lab_drill.py runs it")
    terminals.run("celery -A proj lab drill --fault broker-killed --queue-type classic")
    terminals.leave_out(
        "scripts/brokers 4.3 && celery -A proj lab drill --version 4.3", "test_rabbitmq_version.py runs a drill of it"
    )
    terminals.leave_out(
        "for v in 3.10 4.0 4.3; do celery -A proj lab drill --dispatch fair --version $v --json >$v.json; done",
        "it takes twenty minutes; test_lab_drill.py reads the JSON of a drill",
    )
    terminals.leave_out("python bench/drills.py 3.10.json 4.0.json 4.3.json", "it reads what that line has written")
    for line in (
        "celery -A proj lab drill --nodes 3",
        "for v in 3.10 4.0 4.3; do celery -A proj lab drill --nodes 3 --version $v --json >$v.json; done",
        "python bench/drills.py 3.10.json 4.0.json 4.3.json",
    ):
        terminals.leave_out(line, "they take many minutes; tests/integration/cluster runs one drill")
    terminals.leave_out("celery -A proj lab soak --minutes 20 --every 30 --seed 1", "test_lab_soak.py runs a short one")


def growing(terminals: Terminals) -> None:
    terminals.open(WORKER, until=READY)
    terminals.begin("celery -A anyapp queues --watch", until="task_queue", status=0)
    terminals.run("celery -A anyapp queues policy --apply --max-length 10000")
    terminals.leave_out("docker compose up --scale worker-adaptive=4", "test_compose.py runs its command lines")


def journal(terminals: Terminals) -> None:
    terminals.open(WORKER, until=READY)
    recorder = terminals.start("celery -A anyapp journal record -o run.sqlite", until="Recording into run.sqlite")
    terminals.aside("celery -A anyapp call anyapp.add --args '[1, 2]'")
    terminals.interrupt(recorder)
    terminals.run("celery -A anyapp journal audit run.sqlite")
    terminals.run("celery -A anyapp journal report run.sqlite")
    assert "succeeded after" in terminals.run("celery -A anyapp journal search run.sqlite worker:celery name:add")
    for name, seconds in (("a", 1.0), ("b", 2.0)):
        write(terminals.folder / f"{name}.sqlite", "fair", [seconds, seconds + 0.1])
    assert "fair (b.sqlite)" in terminals.run("celery -A anyapp journal compare a.sqlite b.sqlite")
    (terminals.folder / "run.sqlite").unlink()
    terminals.begin(
        "celery -A proj lab run --dispatch round-robin --dispatch fair --dispatch adaptive "
        "--workload odd-heavy --seed 7 --repeat 6 -o run.sqlite",
        until="(2 of 18, about ",
        status=130,
    )
    assert "makespan" in terminals.run("celery -A proj journal compare run.sqlite")


def kubernetes(terminals: Terminals) -> None:
    for line in (
        "kubectl apply --kustomize deploy/kubernetes",
        "kubectl --namespace proj create secret generic dashboard-login --from-literal=basic_auth=USER:PASSWORD",
        "kubectl --namespace proj get rabbitmqclusters,users,deployments,scaledobjects",
        "kubectl --namespace proj port-forward service/dashboard 5555",
    ):
        terminals.leave_out(line, "no cluster is here; test_keda.py runs what the pods run")


def operating(terminals: Terminals) -> None:
    worker = terminals.open(WORKER, until=READY)
    terminals.run("celery -A anyapp queues halt", answer="y")
    wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=TIMEOUT_S)
    worker = terminals.open(WORKER, until=READY)
    terminals.run("celery -A anyapp queues halt --queue task_queue --drain")
    wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=TIMEOUT_S)
    terminals.open(WORKER, until=READY)
    assert " paused " in terminals.run("celery -A anyapp queues pause task_queue")
    assert " consumes " in terminals.run("celery -A anyapp queues resume task_queue")
    assert "yes: answers" in terminals.run("celery -A anyapp health")
    assert "yes: answers" in terminals.run("celery -A anyapp health --worker celery@$(hostname)")


def permissions(terminals: Terminals) -> None:
    assert "task_queue.suspects" in terminals.run("celery -A anyapp queues topology")
    terminals.run("celery -A anyapp queues topology --definitions")
    # No worker has made anything yet.
    assert "+ queue task_queue" in terminals.run("celery -A anyapp queues topology --check", status=1)
    printed = terminals.run("celery -A anyapp queues topology --roles")
    assert printed.strip() in (ROOT / "docs" / "permissions.md").read_text()
    assert "set_permissions" in terminals.run("celery -A anyapp queues topology --roles --rabbitmqctl")
    terminals.run("celery -A anyapp queues topology --roles --definitions")


def pipelines(terminals: Terminals) -> None:
    (terminals.folder / "yourapp.py").write_text(blocks("docs/pipelines.md", "python")[0])
    terminals.start("celery -A yourapp worker -Q shout", until=READY)
    last = terminals.start("celery -A yourapp worker -Q say", until=READY)
    terminals.run("celery -A yourapp call yourapp.shout --args '[\"hello\"]'")
    wait_until(lambda: "Received hello!" in last.log_text(), what="the text", timeout_s=TIMEOUT_S)
    assert "8 messages in" in terminals.run(
        'celery -A proj lab pipeline "goodbye cruel world I am leaving you today" --stage to_upper=1 --stage printer=2'
    )


def plain_messages(terminals: Terminals) -> None:
    (terminals.folder / "yourapp.py").write_text(blocks("docs/plain-messages.md", "python")[0])
    worker = terminals.start("celery -A yourapp worker", until=READY)
    terminals.run('celery -A proj send --plain "Hello."')
    wait_until(lambda: "Received Hello." in worker.log_text(), what="the text", timeout_s=TIMEOUT_S)
    worker.kill()
    terminals.start('PROJ_BIND="*.heavy" celery -A proj worker', until=READY)
    terminals.run('celery -A proj send --exchange broadcast "everyone."')
    terminals.run('celery -A proj send --exchange topic --key image.heavy "photo..."')


def tls(terminals: Terminals) -> None:
    broker = terminals.start("celery -A proj lab broker --tls", until="RabbitMQ answers on port")
    terminals.variables.update(re.findall(r"^export (\w+)=(.*)$", broker.log_text(), re.MULTILINE))
    worker = terminals.start("celery -A proj worker", until=READY)
    terminals.run('celery -A proj send "Hello."')
    assert "task_queue" in terminals.run("celery -A proj queues")
    wait_until(lambda: "succeeded in" in worker.log_text(), what="the message", timeout_s=TIMEOUT_S)
    assert "yes: answers" in terminals.run("celery -A proj health")
    # An app that is not ours, at the same broker.
    ours = f"app.conf.broker_use_ssl = {{'ca_certs': {terminals.variables['PROJ_BROKER_CA']!r}}}\ninstall(app)"
    (terminals.folder / "anyapp.py").write_text(ANYAPP.replace("install(app)", ours))
    terminals.start(
        "celery -A anyapp dashboard --url_prefix=flower --xheaders=True --allowed_hosts=monitor.example "
        "--basic_auth=ann:secret",
        until="The Dispatch page is at",
    )


STORIES: dict[str, Callable[[Terminals], None]] = {
    "README.md": readme,
    "docs/dashboard.md": dashboard,
    "docs/dead-letters.md": dead_letters,
    "docs/delivery.md": delivery,
    "docs/growing.md": growing,
    "docs/journal.md": journal,
    "docs/kubernetes.md": kubernetes,
    "docs/operating.md": operating,
    "docs/permissions.md": permissions,
    "docs/pipelines.md": pipelines,
    "docs/plain-messages.md": plain_messages,
    "docs/tls.md": tls,
}


def test_every_page_with_a_command_block_is_typed() -> None:
    """A new page needs a story here."""
    assert pages_with_commands([ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]) == list(STORIES)


@pytest.mark.parametrize("page", STORIES)
def test_commands_of_the_page_work_from_top_to_bottom_as_they_are_printed(
    page: str, tmp_path: Path, guard: Guard, request: pytest.FixtureRequest
) -> None:
    """In a shell, in the order of the page; a line that is changed there fails here."""
    variables: dict[str, str] = {}
    if page != "README.md":  # which starts its own broker
        variables = request.getfixturevalue("variables")
    (tmp_path / "anyapp.py").write_text(ANYAPP)
    terminals = Terminals(page, tmp_path, guard, variables)
    succeeded = False
    try:
        STORIES[page](terminals)
        succeeded = True
    finally:
        terminals.close(end=succeeded)
