"""The alert webhook: when a level is told, and what is posted."""

from __future__ import annotations

import json
import logging
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from proj.dashboard.web import alert_webhook
from proj.dashboard.web.alert_webhook import (
    FIRST_RETRY_S,
    LASTS_S,
    MOST_RETRY_S,
    AlertWebhook,
    Changes,
    sentence_to_tell,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def sentence(level: str, kind: str = "k") -> dict[str, Any]:
    return {"level": level, "kind": kind, "text": f"It is {level}.", "queues": ["mail"], "workers": []}


def told(levels: str, *, step_s: float = LASTS_S) -> list[tuple[str, str]]:
    """What is told of levels that are seen so many seconds apart, each by its first letter."""
    changes, found = Changes(), []
    names = {"o": "ok", "b": "bad", "w": "warning", "u": "unknown"}
    for number, letter in enumerate(levels):
        change = changes.see(sentence(names[letter]), number * step_s)
        if change is not None:
            found.append((change.before, change.sentence["level"]))
            changes.told(change)
    return found


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ("oooo", []),
        ("obbb", [("ok", "bad")]),
        ("obboo", [("ok", "bad"), ("bad", "ok")]),
        ("owwbboo", [("ok", "warning"), ("warning", "bad"), ("bad", "ok")]),
        # What lasts for a moment is not told.
        ("oboboo", []),
        # Nobody knows: the last level stays.
        ("obbuubb", [("ok", "bad")]),
        ("uuuoo", []),
    ],
)
def test_level_is_told_when_it_has_lasted(levels: str, expected: list[tuple[str, str]]) -> None:
    """Each change once, and the way back to ok."""
    assert told(levels) == expected


PAUSED, AWAY = sentence("warning", kind="paused"), sentence("bad", kind="broker_away")
UNFAIR, UNKNOWN = sentence("warning", kind="unfair"), sentence("unknown", kind="queue_unknown")


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        ([], None),
        ([AWAY, PAUSED], AWAY),
        ([PAUSED, UNFAIR], UNFAIR),
        ([PAUSED, PAUSED, UNKNOWN], {**PAUSED, "level": "ok"}),
        ([UNKNOWN, PAUSED], UNKNOWN),
    ],
)
def test_paused_queue_calls_nobody(sentences: list[dict[str, Any]], expected: dict[str, Any] | None) -> None:
    """Somebody paused it on purpose; what else is wrong is told, and its end too."""
    assert sentence_to_tell(sentences) == expected


def test_change_that_was_not_sent_is_told_later_while_it_lasts() -> None:
    """The tries are twice as far apart each time, and begin anew when all is well."""
    changes = Changes()
    bad, waits = sentence("bad"), []
    now = 0.0
    assert changes.see(bad, now) is None
    for _ in range(6):
        now += max(LASTS_S, MOST_RETRY_S)
        assert changes.see(bad, now) is not None
        waits.append(changes.failed(now))
        assert changes.see(bad, now + waits[-1] - 0.1) is None

    assert waits == [FIRST_RETRY_S, 10.0, 20.0, 40.0, MOST_RETRY_S, MOST_RETRY_S]
    assert changes.see(sentence("ok"), now) is None
    changes.see(bad, now + 1)
    assert changes.see(bad, now + 1 + LASTS_S) is not None


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with these statuses in turn; its URL, and what was posted."""
    posted: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses[len(posted) - 1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token", posted
        finally:
            server.shutdown()
            thread.join()


def test_post_says_what_is_wrong_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log does not have the token of the URL."""
    monkeypatch.setattr(alert_webhook, "LASTS_S", 0.0)
    monkeypatch.setattr(alert_webhook, "FIRST_RETRY_S", 0.0)
    with receiver(500, 204) as (url, posted), caplog.at_level(logging.INFO):
        webhook = AlertWebhook(url, lambda: json.dumps({"sentences": [sentence("bad")]}).encode())
        for _ in range(3):
            webhook.look()

    assert [document["level"] for document in posted] == ["bad", "bad"]
    del posted[1]["time"]
    assert posted[1] == {"format": "proj-alert", "version": 1, "before": "ok", **sentence("bad")}
    assert [vars(each)["action"] for each in caplog.records] == ["alert_not_sent", "alert_sent"]
    assert "token" not in caplog.text


def test_receiver_that_speaks_no_http_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that does not answer, and not at every look."""
    monkeypatch.setattr(alert_webhook, "LASTS_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.example ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/token"
        webhook = AlertWebhook(url, lambda: json.dumps({"sentences": [sentence("bad")]}).encode())
        for _ in range(3):
            webhook.look()
        thread.join()

    assert [vars(each)["action"] for each in caplog.records] == ["alert_not_sent"]


def test_nothing_is_posted_before_something_is_known() -> None:
    """There is no document yet, or no sentence."""
    with receiver() as (url, posted):
        for document in (b"", b"{}", b'{"sentences": []}'):
            AlertWebhook(url, lambda document=document: document).look()  # type: ignore[misc] # mypy cannot infer it

    assert posted == []
