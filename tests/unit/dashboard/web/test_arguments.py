"""Unknown and invalid options are refused in arguments, environment and flowerconfig.py."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
import flower.options
import pytest

from proj.dashboard.web.arguments import check_configuration, check_environment, checked_arguments, described
from proj.dashboard.web.options import HISTORY, OWN, checked_options
from proj.errors import InvalidConfiguration, InvalidSetting, NoJournal, ProjError, UnknownSetting, UnreadableJournal
from proj.journal.reader import open_journal
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS: dict[str, Any] = flower.options.options.__dict__["_options"]
#: Of the `celery` command, with whether each takes a value.
CELERYS = {"--app": True, "-A": True, "--broker": True, "-b": True, "--quiet": False}


def arguments(*words: str) -> Sequence[str]:
    return checked_arguments(words, OPTIONS, CELERYS)


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ((), ()),
        (("--port=5556",), ("--port=5556",)),
        (("--port", "5556"), ("--port=5556",)),
        (("--url-prefix=mon", "--url_prefix=mon"), ("--url-prefix=mon", "--url_prefix=mon")),
        (("--journal", "a file", "--read_only"), ("--journal=a file", "--read_only")),
        (("--persistent=no", "--xheaders=on"), ("--persistent=false", "--xheaders=true")),
        (("--allowed_hosts=a,b", "--dispatch_history=10"), ("--allowed_hosts=a,b", "--dispatch_history=10")),
        (("--broker=x", "-b", "amqp://x", "--quiet", "--port=1"), ("--broker=x", "-b", "--quiet", "--port=1")),
        (("--basic_auth=a:b=c",), ("--basic_auth=a:b=c",)),
    ],
)
def test_arguments_are_accepted_in_every_spelling(words: Sequence[str], taken: Sequence[str]) -> None:
    """With `=` or a space, with dashes or underscores. Celery's own are left to Flower, which warns about them."""
    assert arguments(*words) == taken


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("--basic_auht=user:secret", "--basic_auth"),
        ("--basic-auht=user:secret", "--basic-auth"),
        ("--redonly", "--read_only"),
        ("--allowed-host=x", "--allowed-hosts"),
        ("-port=1", "--port"),
    ],
)
def test_mistyped_option_is_refused_with_a_suggestion(word: str, nearest: str) -> None:
    """Flower would ignore it, and start without authentication."""
    with pytest.raises(click.NoSuchOption) as refusal:
        arguments("--port=1", word)

    assert refusal.value.possibilities == [nearest]
    assert "secret" not in refusal.value.format_message()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("5556",), "unexpected argument '5556'"),
        (("--port=1", "--", "x"), "unexpected argument '--'"),
        (("--read_only", "false"), "unexpected argument 'false'"),
        (("--port",), "--port requires a value"),
        (("--port", "--debug"), "--port requires a value"),
        (("--port=abc",), "--port is 'abc'"),
        (("--port=",), "--port is ''"),
        (("--dispatch_history=many",), "--dispatch_history is 'many'"),
        (("--inspect_timeout=abc",), "--inspect_timeout is 'abc', but must be a number"),
        (("--task_runtime_metric_buckets=1,x",), "but must be numbers, separated by commas"),
        (("--read_only=flase",), "--read_only is 'flase', but must be true or false"),
        (("--logging=loud",), "--logging is 'loud'"),
        (("--format_task=x",), "flowerconfig.py"),
        (("--wholly-unknown-thing=x",), "--wholly-unknown-thing"),
    ],
)
def test_invalid_argument_is_refused(words: Sequence[str], reason: str) -> None:
    """With one sentence and exit code 2, never with a traceback."""
    with pytest.raises(click.UsageError) as refusal:
        arguments(*words)

    assert reason in refusal.value.format_message()
    assert refusal.value.exit_code == 2


def test_checking_an_argument_sets_nothing() -> None:
    """Flower sets options itself, in its own order."""
    before = flower.options.options.port

    arguments("--port=1", "--dispatch_history=7")

    assert (flower.options.options.port, flower.options.options.dispatch_history) == (before, HISTORY)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"FLOWER_PORT": "1", "FLOWER_READ_ONLY": "no", "FLOWER_BASIC_AUTH": "u:p", "HOME": "/", "FLOWERS": "x"},
        {"FLOWER_JOURNAL": "x", "FLOWER_OPEN_JOURNAL": "x", "FLOWER_ALLOWED_HOSTS": "a,b"},
        {"FLOWER_OAUTH2_KEY": "x", "FLOWER_OAUTH2_OKTA_BASE_URL": "x", "FLOWER_GITLAB_AUTH_ALLOWED_GROUPS": "x"},
        {"FLOWER_SERVICE_HOST": "10.0.0.1", "FLOWER_SERVICE_PORT": "80", "FLOWER_SERVICE_PORT_HTTP": "80"},
        {"FLOWER_PORT_80_TCP": "tcp://10.0.0.1:80", "FLOWER_PORT_80_TCP_ADDR": "10.0.0.1"},
        {"FLOWER_WEB_PORT": "tcp://10.0.0.1:80", "FLOWER_WEB_SERVICE_HOST": "10.0.0.1"},
    ],
)
def test_environment_of_flower_and_of_kubernetes_is_accepted(environment: dict[str, str]) -> None:
    """Kubernetes sets variables for every service in every container, also for one named flower."""
    check_environment(environment, OPTIONS)


def test_mistyped_variable_is_refused_with_a_suggestion() -> None:
    """Flower would ignore it, and start without authentication. The message does not contain the password."""
    with pytest.raises(UnknownSetting, match=r"FLOWER_BASIC_AUHT .* FLOWER_BASIC_AUTH\?") as refusal:
        check_environment({"FLOWER_BASIC_AUHT": "user:secret"}, OPTIONS)

    assert "secret" not in refusal.value.message
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("FLOWER_PORT", "abc", "whole number"),
        ("FLOWER_PORT", "", "whole number"),
        ("FLOWER_PORT", "tcp://10.0.0.1:80", "enableServiceLinks"),
        ("FLOWER_DISPATCH_HISTORY", "x", "whole number"),
        ("FLOWER_READ_ONLY", "maybe", "true or false"),
        ("FLOWER_HELP", "x", "true or false"),
    ],
)
def test_variable_with_an_invalid_value_is_refused(name: str, value: str, reason: str) -> None:
    """With one sentence and exit code 2, never with a traceback."""
    with pytest.raises((InvalidSetting, InvalidConfiguration), match=reason) as refusal:
        check_environment({name: value}, OPTIONS)

    assert name in refusal.value.message
    assert refusal.value.exit_code == 2


def test_mistyped_name_in_the_configuration_file_is_refused() -> None:
    """Flower would ignore it there, too."""
    with pytest.raises(UnknownSetting, match=r"basic_auht in flowerconfig.py .* basic_auth\?"):
        check_configuration("port = 1\nbasic_auht = ['user:secret']\n", "flowerconfig.py", OPTIONS)


@pytest.mark.parametrize(
    "source",
    [
        "basic_auth = ['u:p']\njournal = 'x'\nallowed_hosts: list = ['a']\n",
        "import os\ntimezone = 'UTC'\n_port = 1\ndef format_task(task):\n    prot = 1\n    return task\n",
        (Path(__file__).parents[4] / "flowerconfig.py").read_text(),
    ],
)
def test_configuration_file_may_set_other_names(source: str) -> None:
    """It is a program, so only a name that is nearly an option's is refused."""
    check_configuration(source, "flowerconfig.py", OPTIONS)


def test_help_has_our_options_and_flowers() -> None:
    """A user needs only one help text."""
    (_, ours), (_, flowers) = described()

    assert sorted(row[0].partition("=")[0] for row in ours) == sorted(f"--{name}" for name in OWN)
    assert {"--basic_auth=STR", "--port=INT"} <= {row[0] for row in flowers}
    assert all(text for _, text in ours)


def options(**changed: Any) -> Any:
    return SimpleNamespace(
        **{
            **dict.fromkeys(("journal", "open_journal", "basic_auth")),
            "allowed_hosts": [],
            "dispatch_history": 5000,
            "public_metrics": False,
            "search_arguments": False,
            "alert_webhook": None,
            "address": "",
            "port": 5555,
            "max_tasks": 20_000,
            "max_workers": 5000,
            **changed,
        }
    )


def test_checked_options_have_the_given_values(tmp_path: Path) -> None:
    """A new journal is created at once, so that an unwritable folder is found at the start."""
    path = tmp_path / "new.journal"
    checked = checked_options(options(journal=str(path), dispatch_history=7, allowed_hosts=["flower"]), {})

    assert (checked.journal, checked.recorded, checked.history) == (path, None, 7)
    assert "flower" in checked.hosts
    with open_journal(path) as journal:
        assert journal.runs() == []


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", "anything"])
def test_unauthenticated_api_is_refused_with_the_reason(value: str) -> None:
    """With it, any web page that a user visits can stop the workers through the browser."""
    with pytest.raises(InvalidSetting, match="web page") as refusal:
        checked_options(options(), {"FLOWER_UNAUTHENTICATED_API": value})

    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_unauthenticated_api_may_be_set_to_off(value: str) -> None:
    """Off is the default."""
    checked_options(options(), {"FLOWER_UNAUTHENTICATED_API": value})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dispatch_history": 0}, "dispatch_history"),
        ({"dispatch_history": -1}, "dispatch_history"),
        ({"dispatch_history": 10**9}, "dispatch_history"),
        ({"dispatch_history": None}, "dispatch_history"),
        ({"port": 65_536}, "port"),
        ({"max_tasks": 0}, "max_tasks"),
        ({"max_workers": -1}, "max_workers"),
        ({"journal": "a", "open_journal": "b"}, "without --journal"),
        ({"basic_auth": ["secret"]}, "user:password"),
        ({"alert_webhook": "hooks.example.com/secret"}, "must be a URL"),
        ({"alert_webhook": "https://host:many/secret"}, "must be a URL"),
        ({"basic_auth": ["üser:secret"]}, "ASCII"),
        ({"allowed_hosts": ["http://flower"]}, "allowed_hosts"),
    ],
)
def test_invalid_options_are_refused(changed: dict[str, Any], reason: str) -> None:
    """With one sentence and exit code 2, wherever they were set. The sentence contains no password."""
    with pytest.raises(ProjError, match=reason) as refusal:
        checked_options(options(**changed), {})

    assert refusal.value.exit_code == 2
    assert "secret" not in refusal.value.message


def test_unusable_journal_is_refused(tmp_path: Path) -> None:
    """It is refused before anything is served."""
    other = tmp_path / "other"
    other.write_text("no journal")
    journal = tmp_path / "journal"
    with JournalWriter(journal):
        pass

    checked_options(options(open_journal=str(journal)), {})
    with pytest.raises(NoJournal):
        checked_options(options(open_journal=str(tmp_path / "none")), {})
    for changed in (
        {"open_journal": str(other)},
        {"journal": str(other)},
        {"journal": str(tmp_path / "no" / "folder")},
    ):
        with pytest.raises(UnreadableJournal):
            checked_options(options(**changed), {})
    assert other.read_text() == "no journal"
