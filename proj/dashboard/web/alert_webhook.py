"""Alert webhook: posts JSON to a URL when the first sentence of the page becomes bad or a warning, and when it ends."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proj.dashboard.live.now.status import BAD, OK, WARNING
from proj.errors import InvalidConfiguration
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

#: The window of the page's figures, in seconds: the shortest.
WINDOW_S = 60
#: Seconds between two looks at the sentence, and for which a level must last until it is told.
LOOK_S = 2.0
LASTS_S = 10.0
#: Seconds that the receiver may take; and between two tries, the first, and the most.
TIMEOUT_S = 5.0
FIRST_RETRY_S, MOST_RETRY_S = 5.0, 60.0
#: The levels that are told. While nothing is known, the last one stays.
_TOLD = frozenset({BAD, WARNING, OK})
#: The kinds of sentence on what a person has done on purpose: a warning on the page, and no reason to call anybody.
_DELIBERATE = frozenset({"paused"})


@dataclass(frozen=True, kw_only=True)
class Change:
    """A level that is to be told, after the one that was told last."""

    before: str
    sentence: dict[str, Any]

    def document(self, now: float) -> dict[str, Any]:
        """What is posted at that time, in seconds since the epoch."""
        fields = {name: self.sentence.get(name) for name in ("level", "kind", "text", "queues", "workers")}
        return {"format": "proj-alert", "version": 1, "time": now, "before": self.before, **fields}


def sentence_to_tell(sentences: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The gravest sentence, without those on what was done on purpose; None when there is none.

    When nothing else is wrong, such a sentence is told as ok.
    """
    if not sentences:
        return None
    first = sentences[0]
    if first.get("kind") not in _DELIBERATE:
        return first
    others = (one for one in sentences if one.get("kind") not in _DELIBERATE and one.get("level") in {BAD, WARNING})
    return next(others, {**first, "level": OK})


class Changes:
    """Decides when a level is told: when it has lasted, differs from the last one told, and it is time to try."""

    def __init__(self) -> None:
        """Begin as if all had been well."""
        self._told = self._seen = OK
        self._since = float("-inf")
        self._try_at = float("-inf")
        self._retry_s = FIRST_RETRY_S

    def see(self, sentence: dict[str, Any], now: float) -> Change | None:
        """The change to tell now; None when there is none. `now` is in seconds of any one clock."""
        level = str(sentence.get("level"))
        if level not in _TOLD:
            return None
        if level != self._seen:
            self._seen, self._since = level, now
        if level == self._told:
            self._retry_s, self._try_at = FIRST_RETRY_S, float("-inf")
            return None
        if now - self._since < LASTS_S or now < self._try_at:
            return None
        return Change(before=self._told, sentence=sentence)

    def told(self, change: Change) -> None:
        """The receiver has it."""
        self._told = str(change.sentence["level"])
        self._retry_s, self._try_at = FIRST_RETRY_S, float("-inf")

    def failed(self, now: float) -> float:
        """The receiver does not have it; the seconds until the next try, twice as many each time."""
        wait_s = self._retry_s
        self._try_at, self._retry_s = now + wait_s, min(MOST_RETRY_S, 2 * wait_s)
        return wait_s


class AlertWebhook(Service):
    """Looks at the sentence and posts in a thread of its own, so that the page never waits for the receiver."""

    def __init__(self, url: str, document: Callable[[], bytes]) -> None:
        """Post to `url`; `document` returns the JSON of now, empty while there is none."""
        self._url = url
        self._document = document
        self._changes = Changes()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert webhook", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End, without a post that is on its way; safe to call twice and before `start`."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(LOOK_S):
            self._look_again()

    def _look_again(self) -> None:
        try:
            self.look()
        except Exception:  # whatever it was, the next alert may work
            logger.exception("The alert webhook failed, and goes on.", extra={"action": "alert_failed"})

    def look(self) -> None:
        """Look once, and post if there is a change to tell."""
        found = self._document()
        sentence = sentence_to_tell(json.loads(found).get("sentences") or ()) if found else None
        change = None if sentence is None else self._changes.see(sentence, time.monotonic())
        if change is None:
            return
        try:
            _post(self._url, change.document(time.time()))
        except (OSError, ValueError, HTTPException) as error:
            wait_s = self._changes.failed(time.monotonic())
            # The URL may have a token.
            logger.warning(
                "The alert was not sent to %s (%s). It is tried again in %.0f s.",
                urlsplit(self._url).hostname,
                error,
                wait_s,
                extra={"action": "alert_not_sent"},
            )
            return
        self._changes.told(change)
        logger.info("Alert sent: %s", change.sentence.get("text"), extra={"action": "alert_sent"})


def checked_webhook(url: str | None) -> str | None:
    """The URL; None when there is none.

    Raises:
        InvalidConfiguration: it is not one of HTTP; the message does not contain it, because it may have a token.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number
        is_one = False
    if not is_one:
        raise InvalidConfiguration("--alert_webhook must be a URL such as https://hooks.example.com/celery.")
    return url


def _post(url: str, document: dict[str, Any]) -> None:
    """Post the document.

    Raises:
        OSError: nothing answers in time, or it answers with an error.
        HTTPException: what answers does not speak HTTP.
    """
    request = urllib.request.Request(  # noqa: S310 checked_webhook has refused other schemes
        url, data=json.dumps(document).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 as above
            answer.read(1)
    except urllib.error.HTTPError as error:
        error.close()
        raise
