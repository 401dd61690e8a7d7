"""Documents: who watches which, and what a client is given."""

from __future__ import annotations

import gzip
import json
from typing import Any, cast

import pytest
from celery import Celery

from proj.dashboard.live.monitor import Monitor, Settings
from proj.dashboard.live.now.documents import MOST_SHOWN, WATCHED_S, Document, Documents
from proj.dashboard.web.handlers import takes_gzip
from proj.lab.processes.waiting import wait_until

NOWHERE = "amqp://nobody@127.0.0.1:1//"


def test_document_is_compressed_once() -> None:
    """However many clients take it."""
    document = Document(b"[" + b"1," * 1000 + b"1]")

    assert document.gzipped is document.gzipped
    assert gzip.decompress(document.gzipped) == document
    assert len(document.gzipped) < len(document) / 10


@pytest.mark.parametrize("accepted", ["gzip, deflate, br", "deflate, GZIP;q=0.5", "*"])
def test_document_is_sent_compressed_to_a_client_that_accepts_it(accepted: str) -> None:
    """In any form that HTTP allows."""
    assert takes_gzip(accepted)


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.0"])
def test_document_is_sent_as_it_is_to_any_other_client(accepted: str) -> None:
    """A weight of 0 refuses gzip."""
    assert not takes_gzip(accepted)


def test_document_is_watched_for_some_seconds_after_it_was_asked_for() -> None:
    """Of too many, the one that was asked for longest ago is forgotten."""
    documents: Documents[int] = Documents()
    for number in range(MOST_SHOWN + 1):
        assert documents.ask(number, float(number))

    assert not documents.ask(MOST_SHOWN, float(MOST_SHOWN))
    assert documents.watched(float(MOST_SHOWN)) == list(range(1, MOST_SHOWN + 1))
    assert documents.watched(MOST_SHOWN + WATCHED_S + 1) == []


def test_monitor_computes_a_window_when_someone_asks_for_it() -> None:
    """And gives nothing that is as old as the last question."""
    app = Celery("theirs", broker=NOWHERE, set_as_current=False)
    with Monitor(app, Settings(keep=100)) as monitor:
        assert monitor.now(60) == b""
        wait_until(lambda: monitor.now(60), what="the first one", timeout_s=60)
        told = cast("dict[str, Any]", json.loads(monitor.now(60)))

    assert (told["format"], told["window_s"], told["windows"]) == ("proj-now", 60, [60, 300, 900, 3600, None])
    assert told["sentences"][0]["kind"] in {"starting", "broker_away"}
