"""Options: the dashboard's own options beside Flower's, from arguments, the environment and flowerconfig.py."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tornado.options import define, options

from proj.dashboard.web.alert_webhook import checked_webhook
from proj.dashboard.web.allowed_hosts import allowed_names
from proj.errors import InvalidConfiguration, InvalidSetting
from proj.journal.reader import open_journal
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tornado.options import OptionParser

#: Flower's prefix of environment variables.
PREFIX = "FLOWER_"
UNAUTHENTICATED_API = f"{PREFIX}UNAUTHENTICATED_API"
#: Attempts in memory; each takes some kilobytes.
HISTORY = 5000
MOST_HISTORY = 100_000

#: Our own options, with their help.
OWN = {
    "journal": "write events to this journal, and begin with its latest attempts",
    "open_journal": "show this recorded journal read-only, instead of events",
    "allowed_hosts": "further host names under which the dashboard answers; * for any",
    "public_metrics": "let everyone read /metrics, also with --basic_auth",
    "search_arguments": "search and show the arguments of tasks on the Dispatch page, too",
    "dispatch_history": "attempts that are kept in memory",
    "alert_webhook": "post JSON here when the page's first sentence becomes bad or a warning, and when it ends",
}
define("journal", type=str, metavar="FILE", help=OWN["journal"])
define("open_journal", type=str, metavar="FILE", help=OWN["open_journal"])
define("allowed_hosts", type=str, multiple=True, metavar="NAME,NAME", help=OWN["allowed_hosts"])
define("public_metrics", type=bool, default=False, help=OWN["public_metrics"])
define("search_arguments", type=bool, default=False, help=OWN["search_arguments"])
define("alert_webhook", type=str, metavar="URL", help=OWN["alert_webhook"])
define("dispatch_history", type=int, default=HISTORY, metavar="N", help=OWN["dispatch_history"])


class Option(Protocol):
    """One of Tornado's options, Flower's or ours."""

    name: str
    type: type
    multiple: bool
    metavar: str | None
    help: str | None
    callback: Callable[[object], None] | None

    def parse(self, value: str) -> object:
        """Set the option from a text, and return its value."""


def defined_options() -> Mapping[str, Option]:
    """Every option that is defined so far, by its name with dashes."""
    defined: Mapping[str, Option] = options._options  # noqa: SLF001 Tornado has no other access; Flower does the same
    return defined


@dataclass(frozen=True, kw_only=True)
class DashboardOptions:
    """The values of our own options, checked."""

    #: The journal that is written.
    journal: Path | None
    #: The recorded journal that is shown instead of events.
    recorded: Path | None
    #: Host names under which the dashboard answers.
    hosts: frozenset[str]
    #: Attempts that are kept in memory.
    history: int
    #: Whether everyone may read the metrics, and whether arguments of tasks are searched and shown.
    public_metrics: bool
    arguments: bool
    #: Where alerts are posted.
    alert_webhook: str | None


def checked_options(options: OptionParser, environment: Mapping[str, str] = os.environ) -> DashboardOptions:
    """Our own options; those of Flower that it does not check itself are checked, too.

    Raises:
        InvalidSetting: a value cannot be used.
        InvalidConfiguration: the credentials cannot be used; the message does not contain them.
        NoJournal: there is no such recorded journal.
        UnreadableJournal: a file is not a journal.
    """
    refuse_unauthenticated_api(environment)
    if options.journal and options.open_journal:
        raise InvalidSetting(
            "--open_journal",
            options.open_journal,
            "given without --journal, because a journal is either shown or written",
        )
    for name, lowest, highest in (
        ("dispatch_history", 1, MOST_HISTORY),
        ("port", 0, 65_535),
        ("max_tasks", 1, None),
        ("max_workers", 1, None),
    ):
        value = getattr(options, name)
        if value is None or value < lowest or (highest is not None and value > highest):
            allowed = f"a number of at least {lowest}" if highest is None else f"a number from {lowest} to {highest:,}"
            raise InvalidSetting(f"--{name}", value, allowed)
    for credentials in options.basic_auth or ():
        # Flower compares them with hmac.compare_digest, which raises for texts that are not ASCII.
        if ":" not in credentials or not credentials.isascii():
            raise InvalidConfiguration("--basic_auth must be user:password, in ASCII; separate several by commas.")
    journal, recorded = (Path(text).expanduser() if text else None for text in (options.journal, options.open_journal))
    hosts = allowed_names(options.address or "", options.allowed_hosts)
    _check_journals(journal, recorded)
    return DashboardOptions(
        journal=journal,
        recorded=recorded,
        hosts=hosts,
        public_metrics=options.public_metrics,
        arguments=options.search_arguments,
        history=options.dispatch_history,
        alert_webhook=checked_webhook(options.alert_webhook),
    )


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
            "unset: with it, any web page that you visit can send and revoke tasks and stop workers through your "
            "browser. Set FLOWER_BASIC_AUTH to user:password instead, which also opens the API",
        )


def _check_journals(journal: Path | None, recorded: Path | None) -> None:
    """Open each journal once, so that an error is reported before anything is served.

    Raises:
        NoJournal: there is no such recorded journal.
        UnreadableJournal: a file is not a journal, or cannot be created.
    """
    if recorded is not None:
        open_journal(recorded).close()
    if journal is not None:
        with JournalWriter(journal):
            pass
