"""A headless Chromium that a test controls over the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tornado.websocket import websocket_connect

from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until

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
TIMEOUT_S = 60.0
#: The number of a key, and the text that it types.
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " "), "Escape": (27, ""), "End": (35, ""), "Home": (36, "")}
SHIFT = 8


def program() -> str:
    """The path of the browser. Without it, a test is skipped, but in CI it fails."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict("Chromium is not installed: apt-get install chromium")
    return found


class Tab:
    """A tab with one page, with its logged errors and its requests."""

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        self._loop = loop
        self._socket = loop.run_until_complete(_connected(address))
        self._number = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> Any:
        """The browser's answer to a command; events that come before it are kept."""
        return self._loop.run_until_complete(asyncio.wait_for(self._do(method, parameters), TIMEOUT_S))

    def open(self, page: Path) -> None:
        self.visit(page.as_uri())

    def visit(self, address: str) -> None:
        """Go to an address, and return when everything is loaded."""
        self.do("Page.navigate", url=address)
        here = f"document.readyState === 'complete' && location.href === {json.dumps(address)}"
        wait_until(lambda: self.value(here), what=address, timeout_s=TIMEOUT_S)

    def look(self, *, width: int = 1280, scheme: str = "light", still: bool = False) -> None:
        """Set the width of the screen, which is a phone below 500, the colour scheme, and reduced motion (`still`)."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}, motion])

    def screenshot(self, *, whole: bool = False) -> bytes:
        """The visible part, or the whole page, as PNG."""
        return base64.b64decode(self.do("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def value(self, expression: str) -> Any:
        answer = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        number, text = KEYS.get(key, (0, ""))
        of_key = {"key": key, "code": key, "windowsVirtualKeyCode": number, "modifiers": SHIFT * shift}
        self.do("Input.dispatchKeyEvent", type="keyDown", text=text, **of_key)
        self.do("Input.dispatchKeyEvent", type="keyUp", **of_key)

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the element."""
        place = f"document.querySelector({json.dumps(selector)})"
        x, y = self.value(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(({place}.scrollIntoView({{block: 'center', behavior: 'instant'}}), {place}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def close(self) -> None:
        self._loop.run_until_complete(asyncio.wait_for(self._close(), TIMEOUT_S))

    async def _close(self) -> None:
        self._socket.close()
        # Tornado releases its socket only when the other side has closed it, too.
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
    """A tab of a browser with a new profile; the browser ends with the block."""
    # Chromium makes a folder with a socket, and leaves it when it is killed. `folder` is too long for a socket's path.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        yield from _browser(folder, temporary)


def _browser(folder: Path, temporary: str) -> Iterator[Tab]:
    log = folder / "chromium.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [program(), *FLAGS, f"--user-data-dir={folder / 'chromium'}", "about:blank"],
            env=child_environment(TMPDIR=temporary),
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
            try:
                yield tab
            except Exception:  # whatever failed the test, it shows what was on the page
                print(tab.value("document.body.innerText"))
                raise
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(TIMEOUT_S)


async def _connected(address: str) -> WebSocketClientConnection:
    return await websocket_connect(address, max_message_size=2**28)


def _first_tab(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/json/list", timeout=TIMEOUT_S) as answer:
        return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
