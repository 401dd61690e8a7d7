"""A headless Chromium that a test looks at a page with, over its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tornado.websocket import websocket_connect

from proj.lab.deadline import wait_until
from proj.lab.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tornado.websocket import WebSocketClientConnection

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
#: Seconds until it must have answered.
TIMEOUT_S = 30.0


def program() -> str:
    """Where it is; a test that needs it is skipped where it is not installed, but fails in CI."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict("Chromium is not installed: apt-get install chromium")
    return found


class Tab:
    """A tab that holds one page; what it logged and asked for is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self._loop = loop
        self._socket = loop.run_until_complete(_connected(address))
        self._number = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> Any:
        """What the browser answers; everything that it says meanwhile is kept."""
        return self._loop.run_until_complete(asyncio.wait_for(self._do(method, parameters), TIMEOUT_S))

    def open(self, page: Path) -> None:
        self.do("Page.navigate", url=page.as_uri())
        wait_until(
            lambda: self.value("document.readyState === 'complete' && location.protocol === 'file:'"),
            what="the page",
            timeout_s=TIMEOUT_S,
        )

    def value(self, expression: str) -> Any:
        answer = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def close(self) -> None:
        self._socket.close()
        # Tornado lets its socket go only when the other side has closed, too.
        self._loop.run_until_complete(asyncio.wait_for(self._closed(), TIMEOUT_S))

    async def _closed(self) -> None:
        while await self._socket.read_message() is not None:
            pass

    async def _do(self, method: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        await self._socket.write_message(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(await self._socket.read_message() or "{}")
            if said.get("id") == self._number:
                assert "error" not in said, said
                return said["result"]
            self._note(said.get("method"), said.get("params", {}))

    def _note(self, event: str | None, of: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(of["request"]["url"])
        elif event == "Log.entryAdded":
            self.complaints.append(of["entry"]["text"])
        elif event in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(of))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A tab of a browser that has never been used, and that ends with the block."""
    log = folder / "chromium.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [program(), *FLAGS, f"--user-data-dir={folder / 'chromium'}", "about:blank"],
            env=child_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: re.search(r"listening on ws://(\S+?)/", log.read_text()), what="Chromium", timeout_s=TIMEOUT_S
        )
        found = re.search(r"listening on ws://(\S+?)/", log.read_text())
        assert found is not None
        with closing(asyncio.new_event_loop()) as loop, closing(Tab(loop, _first_tab(found[1]))) as tab:
            yield tab
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(TIMEOUT_S)


async def _connected(address: str) -> WebSocketClientConnection:
    return await websocket_connect(address, max_message_size=2**28)


def _first_tab(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/json/list", timeout=TIMEOUT_S) as answer:
        return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
