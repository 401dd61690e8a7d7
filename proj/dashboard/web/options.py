"""The dashboard's own options, beside Flower's: on the command line, in the environment and in flowerconfig.py."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado.options import define

from proj.dashboard.web.allowed_hosts import allowed_names
from proj.errors import InvalidConfiguration, InvalidSetting
from proj.journal.reader import open_journal
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What Flower puts before the name of an option in the environment.
PREFIX = "FLOWER_"
UNAUTHENTICATED_API = f"{PREFIX}UNAUTHENTICATED_API"
#: Attempts in memory; some kilobytes each.
HISTORY = 5000
MOST_HISTORY = 100_000

#: Our own options, with their help.
OWN = {
    "journal": "keep what is heard in this journal, and begin with the latest that it has",
    "open_journal": "show this recorded journal, read-only; nothing is heard for the page",
    "allowed_hosts": "names under which the dashboard answers too, beside loopback's and --address; * is any",
    "dispatch_history": "attempts that are kept in memory",
}
define("journal", type=str, metavar="FILE", help=OWN["journal"])
define("open_journal", type=str, metavar="FILE", help=OWN["open_journal"])
define("allowed_hosts", type=str, multiple=True, metavar="NAME,NAME", help=OWN["allowed_hosts"])
define("dispatch_history", type=int, default=HISTORY, metavar="N", help=OWN["dispatch_history"])


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen, wherever it was said, checked."""

    journal: Path | None
    recorded: Path | None
    #: Names under which the dashboard answers.
    hosts: frozenset[str]
    history: int


def chosen(options: Any, environment: Mapping[str, str] = os.environ) -> Choice:  # noqa: ANN401 Tornado's options
    """What `options` say when all were read.

    Raises:
        InvalidSetting: a value cannot be used.
        InvalidConfiguration: credentials cannot be used; their text is not in the message.
        NoJournal: there is no recorded journal.
        UnreadableJournal: a file is not a journal.
    """
    refuse_unauthenticated_api(environment)
    if options.journal and options.open_journal:
        raise InvalidSetting(
            "--open_journal", options.open_journal, "given without --journal, for a journal is either shown or written"
        )
    for name, lowest, highest in (
        ("dispatch_history", 1, MOST_HISTORY),
        ("port", 0, 65_535),
        ("max_tasks", 1, None),
        ("max_workers", 1, None),
    ):
        value = getattr(options, name)
        if value is None or value < lowest or (highest is not None and value > highest):
            allowed = f"a number from {lowest} on" if highest is None else f"a number from {lowest} to {highest:,}"
            raise InvalidSetting(f"--{name}", value, allowed)
    for credentials in options.basic_auth or ():
        # Flower compares it with what a browser sends by a function that takes ASCII only.
        if ":" not in credentials or not credentials.isascii():
            raise InvalidConfiguration("--basic_auth must be user:password, in ASCII letters; several with commas.")
    journal, recorded = (Path(text).expanduser() if text else None for text in (options.journal, options.open_journal))
    hosts = allowed_names(options.address or "", options.allowed_hosts)
    _usable(journal, recorded)
    return Choice(journal=journal, recorded=recorded, hosts=hosts, history=options.dispatch_history)


def refuse_unauthenticated_api(environment: Mapping[str, str]) -> None:
    """Refuse to start when the environment opens Flower's API to everyone.

    Raises:
        InvalidSetting: it does.
    """
    value = environment.get(UNAUTHENTICATED_API, "")
    if value.lower() not in {"", "n", "no", "f", "false", "off", "0"}:
        raise InvalidSetting(
            UNAUTHENTICATED_API,
            value,
            "unset: it lets any web page that you visit send and revoke tasks and stop workers through your browser. "
            "Set FLOWER_BASIC_AUTH to user:password instead, with which the API works",
        )


def _usable(journal: Path | None, recorded: Path | None) -> None:
    """Open what was chosen once, so that an error is said before anything is served.

    Raises:
        NoJournal: there is no recorded journal.
        UnreadableJournal: a file is not a journal, or cannot be made.
    """
    if recorded is not None:
        open_journal(recorded).close()
    if journal is not None:
        with JournalWriter(journal):
            pass
