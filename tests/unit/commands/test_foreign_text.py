"""Text of others in what commands print: escape sequences in every field of every command stay visible text."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
import types
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import click
import pytest
from celery import Celery
from rich.table import Table

from proj import commands
from proj.broker.queue_depths import Depth, QueueDepths
from proj.commands.health_table import show_health
from proj.commands.journal.comparison_table import show_comparison
from proj.commands.journal.ledger_table import audit_journal
from proj.commands.journal.report_file import FORMS, write_report
from proj.commands.lab import pipeline_table
from proj.commands.queues.dead_letter_table import print_table, print_whole
from proj.commands.queues.depth_table import show_depths
from proj.commands.queues.halt_question import ask_to_halt
from proj.commands.queues.halt_workers import Halt
from proj.commands.queues.policy_table import show_policy
from proj.commands.terminal.command import Command
from proj.commands.terminal.console import SafeConsole, confirm, echo
from proj.delivery.dead_letters.letter import DeadLetter
from proj.delivery.dead_letters.queue import UnackedLetter
from proj.delivery.dead_letters.queue_policy import PolicyStatus
from proj.delivery.health.verdict import Finding, Health
from proj.delivery.shutdown.halt_workers import HaltOutcome
from proj.errors import ProjError
from proj.journal.attempt import Attempt
from proj.journal.records import Gap, Run, Sample, Worker
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable

#: What clears a screen, sets a colour with one character, overwrites or forges a line, rings, and turns the text.
STEERING = "\x1b[2J\x9b31m\r\nFORGED\x07\x7f\u202e\u2028"
#: What rich, Markdown and HTML would interpret.
MARKUP = "[bold]`|<b>"
BEGAN = 1_700_000_000.0
#: The console's functions, which alone may print.
CONSOLE = Path(commands.__file__).parent / "terminal" / "console.py"


def foreign(field: str) -> str:
    return f"{field}{STEERING}{MARKUP}"


def filled(kind: type[Any], **known: Any) -> Any:
    """A record with such a text in each field that can hold one."""
    hints = get_type_hints(kind, localns={"Mapping": dict})
    texts = {field.name: foreign(field.name) for field in dataclasses.fields(kind) if _may_be_text(hints[field.name])}
    return kind(**{**texts, **known})


def _may_be_text(hint: object) -> bool:
    return hint is str or (get_origin(hint) in {Union, types.UnionType} and str in get_args(hint))


def assert_harmless(text: str, *fields: str) -> None:
    """Nothing in it steers a terminal, and each of these fields is there to be read."""
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    assert not re.search(r"(?m)^\W*FORGED", text)
    # JSON has other escape sequences.
    plain = re.sub(r"\s", "", text).replace("\\", "").replace("u001b", "x1b")
    assert [field for field in fields if f"{field}x1b[2J" not in plain] == []


class Policies:
    """The policies of one queue whose every name is somebody else's."""

    dead_letters = foreign("dead_letters")

    def statuses(self) -> list[PolicyStatus]:
        numbers = {"exists": True, "delivery_limit": None, "max_length": 5, "base": None}
        return [filled(PolicyStatus, **numbers, missing={foreign("key"): foreign("value")}, fixed={})]

    def is_dead_letter_queue_bound(self) -> bool:
        return False


class Depths(QueueDepths):
    """One event queue of a journal whose every name is somebody else's."""

    def __init__(self) -> None:
        self.doubt = foreign("doubt")
        self.without_majority = foreign("majority")

    def read(self, also: Any = ()) -> list[Depth]:
        del also
        return [filled(Depth, ready=1, unacknowledged=None, consumers=0)]


def letter() -> UnackedLetter:
    properties = {"application_headers": {foreign("name"): foreign("value")}, "reply_to": foreign("property")}
    body = json.dumps([foreign("body")]).encode()
    read = filled(DeadLetter, time=None, attempts=None, size_bytes=0)
    return UnackedLetter(letter=read, body=body, properties=properties, tag=1)


def halt(outcomes: list[HaltOutcome], queues: list[str]) -> None:
    shown: Any = SimpleNamespace(_as_json=False)
    Halt._show(shown, outcomes, queues)  # noqa: SLF001 what it prints at its end


def health() -> None:
    finding = filled(Finding)
    healths = [filled(Health, alive=finding, consuming=finding, progressing=finding)]
    show_health(healths, notes=[foreign("note")], as_json=False)


OUTCOME = {"answered": True, "stopped": False, "seconds": None, "running": 1, "held": 1, "listens": True}
#: What prints, and the fields that must be readable in it.
PRINTED: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "health": (health, ("worker", "why", "note")),
    "queues": (
        lambda: show_depths(Depths(), interval_s=None, show_all=True, as_json=False),
        ("name", "type", "journal", "doubt"),
    ),
    "queues policy": (
        lambda: show_policy(Policies(), as_json=False),  # type: ignore[arg-type] # what it uses of them
        ("queue", "policy", "dead_letter_exchange", "key", "value", "dead_letters"),
    ),
    "queues dead": (lambda: print_table([letter().letter]), ("id", "reason")),
    "queues dead --show": (
        lambda: print_whole(letter()),
        ("id", "task", "reason", "queue", "worker", "name", "value", "property", "body"),
    ),
    "queues halt": (lambda: halt([filled(HaltOutcome, **OUTCOME)], []), ("worker",)),
    "queues halt, nobody": (lambda: halt([], [foreign("queue")]), ("queue",)),
    "queues halt, others": (lambda: ask_to_halt(["w"], others=[foreign("other")], yes=True), ("other",)),
    "queues halt, question": (lambda: ask_to_halt([foreign("ours")], others=[], yes=False), ("ours",)),
}


@pytest.mark.parametrize("name", PRINTED)
def test_text_of_others_cannot_steer_the_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of queues and workers, replies to pings, headers and bodies."""
    call, fields = PRINTED[name]
    error = ""
    try:
        call()
    except click.exceptions.Exit:
        pass
    except click.ClickException as refused:
        error = refused.format_message()
    captured = capsys.readouterr()

    assert_harmless(captured.out + captured.err + error, *fields)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of an event stream to which anyone could publish."""
    path = tmp_path / "journal.sqlite"
    runs = [foreign("first"), foreign("second")]
    with JournalWriter(path) as writer:
        for number, name in enumerate(runs):
            facts = {foreign("fact"): foreign("value")}
            run = Run(name=name, dispatch=foreign(f"mode {number}"), began=BEGAN, settings=facts, machine=facts)
            writer.add_run(run)
            times = {"sent": BEGAN, "received": BEGAN, "started": BEGAN + 1, "finished": BEGAN + 3, "runtime_s": 2.0}
            attempt = filled(Attempt, run=name, state="succeeded", **times)
            writer.put_attempts([dataclasses.replace(attempt, task_id=f"{attempt.task_id}{name}{one}") for one in "ab"])
            # Done twice.
            writer.put_attempts([dataclasses.replace(attempt, task_id=f"{attempt.task_id}{name}a", number=1)])
            writer.put_samples([filled(Sample, time=BEGAN + 1, ready=1, unacknowledged=1, consumers=1)])
            writer.end_run(name, BEGAN + 5)
        writer.put_workers([Worker(name=foreign("worker"), slots=1, queues=(foreign("queue"),), dispatch="fair")])
        writer.put_gaps([filled(Gap, began=BEGAN, ended=BEGAN + 1, events=1)])
        writer.commit()
    return path


@pytest.mark.parametrize("form", FORMS)
def test_text_of_others_in_a_report_is_text_in_each_form(
    form: str, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal, and in Markdown and HTML, where other characters have a meaning."""
    write_report(journal, output=None, form=form, runs=(), arguments=True)
    out = capsys.readouterr().out

    assert [char for char in out if not char.isprintable() and char != "\n"] == []
    assert not re.search(r"(?m)^\W*FORGED", out)
    assert "[2J" in out.replace("\\", "")
    if form in {"markdown", "html"}:
        # In a block of code it means nothing.
        assert "<b>" not in re.sub(r"(?s)```.*?```", "", out).replace(r"\<", "")


def test_text_of_others_in_an_audit_and_a_comparison_is_text(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a journal that somebody else has recorded."""
    app = Celery(set_as_current=False)
    with JournalWriter(journal) as writer:
        writer.put_attempts([filled(Attempt, state="received", run=None, task_id=foreign("open"))])
        writer.commit()
    audit_journal(app, journal, run=None, settle_s=None, dead_letters=None, broker_api=None, as_json=False)
    show_comparison([journal], as_json=False)
    captured = capsys.readouterr()

    assert_harmless(captured.out + captured.err, "task_id", "reason", "mode0")


def test_line_of_a_pipeline_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A printer prints what its messages say."""
    pipeline_table.console().print(pipeline_table.cell(foreign("line")))

    assert_harmless(capsys.readouterr().out, "line")


def test_error_is_printed_without_what_others_put_into_it(capsys: pytest.CaptureFixture[str]) -> None:
    """By click, by a command that names the app, and by a worker that ends with one sentence."""

    def fail() -> None:
        raise ProjError(f"celery -A yourapp {foreign('reason')}".replace("\n", ""))

    ProjError(foreign("reason").replace("\n", "")).show()
    command = Command("fail", callback=fail)
    with pytest.raises(SystemExit):
        click.Group(commands={"fail": command}).main(["fail"], standalone_mode=True)

    assert_harmless(capsys.readouterr().err, "reason")


def test_json_is_whole_and_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads exactly the names that there are."""
    show_depths(Depths(), interval_s=None, show_all=True, as_json=True)
    out = capsys.readouterr().out

    assert json.loads(out)[0]["name"] == foreign("name")
    assert_harmless(out)


def test_console_escapes_also_what_nobody_has_escaped() -> None:
    """The second line of defence: a cell that is a plain text."""
    out = SafeConsole(file=io.StringIO(), width=200)
    table = Table("head")
    table.add_row("cell\x1b[2J")
    out.print(table, "line\x9b31m")

    assert isinstance(out.file, io.StringIO)
    assert_harmless(out.file.getvalue())


def test_sentence_and_question_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a name in them has line breaks."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    echo(foreign("sentence"), err=True)
    confirm(foreign("question"))

    assert_harmless(capsys.readouterr().err, "sentence", "question")


def test_commands_print_by_the_functions_of_the_console_alone() -> None:
    """Then no field of a later command can be forgotten."""
    raw = {"click.echo", "click.secho", "click.confirm", "click.prompt", "print", "Console"}
    used = {
        (path.name, ast.unparse(node.func))
        for path in CONSOLE.parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if path != CONSOLE and isinstance(node, ast.Call)
    }

    assert sorted(one for one in used if one[1] in raw) == []
