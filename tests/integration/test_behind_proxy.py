"""The dashboard behind a real nginx that ends TLS, with the configuration that docs/tls.md prints."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from proj.dashboard.web.actions.handler import Asked
from proj.dashboard.web.actions.queue_actions import QueueActions
from proj.lab.processes.ports import free_port
from proj.lab.processes.process import Process
from tests.integration.test_queue_actions import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.processes.guard import Guard

    from .conftest import Serve

pytestmark = pytest.mark.one_version

PAGE = Path(__file__).parents[2] / "docs" / "tls.md"
NAME = "monitor.example"
TIMEOUT_S = 60


class Proxy:
    """An nginx, as a browser sees it that believes the name of the page."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        self.port = port
        self.origin = f"https://{NAME}:{port}"
        self._trust = trust

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, context=self._trust)
        said = {"Host": f"{NAME}:{self.port}", "Authorization": PASSWORD, **headers}
        if body:
            said["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body or None, said)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text


@contextmanager
def nginx(guard: Guard, folder: Path, behind: int, *, without: str = "nothing") -> Iterator[Proxy]:
    """The printed server before the port `behind`, without the line that begins with `without`."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict("nginx is not installed: apt-get install nginx")
    (server,) = re.findall(r"^```nginx\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    ca, port, certificate = trustme.CA(), free_port(), folder / "server.pem"
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    for printed, here in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/monitor.pem", str(certificate)),
        ("/etc/ssl/monitor.key", str(certificate)),
        ("127.0.0.1:5555", f"127.0.0.1:{behind}"),
    ):
        assert printed in server
        server = server.replace(printed, here)
    server = "\n".join(line for line in server.splitlines() if not line.strip().startswith(without))
    kinds = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\nevents {{}}\n"
        f"http {{ access_log off; {kinds}\n{server}\n}}\n"
    )
    trust = ssl.create_default_context()
    ca.configure_trust(trust)
    proxy = Proxy(port, trust)

    def answers() -> bool:
        try:
            proxy.ask("/")
        except OSError:
            return False
        return True

    running = Process(
        "nginx",
        [program, "-p", str(folder), "-c", str(configuration)],
        guard=guard,
        environment={"PATH": os.defpath},
        log=folder / "nginx.log",
    )
    with running:
        running.wait_until_ready(answers, timeout_s=TIMEOUT_S)
        yield proxy


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask before a queue is paused, without a broker."""
    monkeypatch.setattr(QueueActions, "ask", lambda *_: Asked(question="pause?", count=0))


OPTIONS: dict[str, Any] = {
    "url_prefix": "flower",
    "xheaders": True,
    "allowed_hosts": [NAME],
    "basic_auth": ["ann:secret"],
    "read_only": False,
}
PAUSE = "/flower/dispatch/queues/pause"


@pytest.mark.usefixtures("paused")
def test_page_metrics_and_buttons_work_behind_a_proxy_that_ends_tls(serve: Serve, guard: Guard, tmp_path: Path) -> None:
    """And another page still cannot press them."""
    with serve(**OPTIONS) as site, nginx(guard, tmp_path, site.port) as proxy:
        read = [proxy.ask(f"/flower/{path}")[0] for path in ("dispatch", "dispatch/data", "tasks", "metrics")]
        pressed = proxy.ask(PAUSE, "POST", "queue=mail", Origin=proxy.origin)
        by_browser = proxy.ask(PAUSE, "POST", "queue=mail", **{"Sec-Fetch-Site": "same-origin"})
        by_another = proxy.ask(PAUSE, "POST", "queue=mail", Origin="https://evil.example")
        without_port = proxy.ask(PAUSE, "POST", "queue=mail", Origin=f"https://{NAME}")
        by_nobody = proxy.ask(PAUSE, "POST", "queue=mail")
        without_password = proxy.ask("/flower/metrics", Authorization="")

    assert read == [200] * 4
    assert (pressed[0], by_browser[0]) == (200, 200), pressed[1]
    assert '"question": "pause?"' in pressed[1]
    assert [each[0] for each in (by_another, without_port, by_nobody)] == [403] * 3
    assert without_password[0] == 401


def test_proxy_that_hides_the_host_is_refused(serve: Serve, guard: Guard, tmp_path: Path) -> None:
    """That is the default of nginx: the name of the dashboard. Its pages are shown, and its buttons refused."""
    with serve(**OPTIONS) as site, nginx(guard, tmp_path, site.port, without="proxy_set_header Host") as proxy:
        page = proxy.ask("/flower/dispatch")
        pressed = proxy.ask(PAUSE, "POST", "queue=mail", Origin=proxy.origin)

    assert (page[0], pressed[0]) == (200, 403)
