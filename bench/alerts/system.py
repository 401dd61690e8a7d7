"""What the faults strike: a virtual host with a dashboard, a Prometheus that scrapes it, workers and publishers."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from alerts.app import shop
from alerts.prometheus import Prometheus
from proj.errors import NoManagement
from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.supervisor import Supervisor
from proj.lab.processes.waiting import wait_until
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

#: Seconds until each process must serve, and until all workers must consume.
START_TIMEOUT_S, CONSUME_TIMEOUT_S = 120.0, 240.0


class System(Service):
    """One virtual host, with an app that is not ours."""

    def __init__(self, guard: Guard, broker: Broker, host: str) -> None:
        """Nothing is started before `start`; the broker runs."""
        self.guard = guard
        self.broker = broker
        self.host = host
        self.published = 0
        self._there = quote(host, safe="")
        self._queues: set[str] = set()
        self._ending = threading.Event()
        self._running = ExitStack()

    def start(self) -> None:
        """Make the virtual host, and start the dashboard and Prometheus."""
        url = self.broker.add_vhost(self.host)
        self.app = shop(url)
        self.environment = child_environment(
            CELERY_BROKER_URL=url,
            FLOWER_BROKER_API=self.broker.management_url,
            PYTHONPATH=str(Path(__file__).parents[1]),
        )
        port = free_port()
        #: The way of the dashboard to the broker.
        self.proxy = self.new_proxy()
        words = ("dashboard", f"--address={LOOPBACK}", f"--port={port}")
        self.dashboard = self._process("dashboard", *words, proxy=self.proxy)
        self.dashboard.wait_until_ready(lambda: _answers(port), timeout_s=START_TIMEOUT_S)
        self.prometheus = self._running.enter_context(Prometheus(self.guard, port, name=self.host))
        self.prometheus.wait_until_ready(self.prometheus.answers, timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        """End everything; safe to call twice and before `start`."""
        self._ending.set()
        self._running.close()

    def worker(
        self,
        queue: str,
        *more: str,
        slots: int = 2,
        name: str | None = None,
        prefetch: int = 1,
        settings: Mapping[str, str] | None = None,
        proxy: Proxy | None = None,
        **variables: str,
    ) -> Process:
        """Start a worker of these queues, with Celery settings and variables of its own."""
        self._queues |= {queue, *more}
        return self._process(
            f"worker {name or queue}",
            *("worker", "--hostname", f"{name or queue}@shop", "--queues", ",".join((queue, *more))),
            *("--concurrency", str(slots), "--"),
            *(f"{key}={value}" for key, value in (settings or {}).items()),
            proxy=proxy,
            SHOP_PREFETCH=str(prefetch),
            **variables,
        )

    def embedded_worker(self, queue: str) -> Process:
        """Start a process with a worker of this queue in a thread."""
        self._queues.add(queue)
        return self._start(f"worker {queue}", [sys.executable, "-m", "alerts.embedded", f"{queue}@shop", queue], {})

    def supervise(self, process: Process) -> Supervisor:
        """Start the process again whenever it ends, until the end of the system."""
        return self._running.enter_context(Supervisor(process))

    def new_proxy(self) -> Proxy:
        """A proxy to the broker."""
        return self._running.enter_context(Proxy(self.broker.port))

    def wait_for_consumers(self) -> None:
        """Return when each queue of a worker has a consumer."""
        wait_until(
            lambda: self._queues <= self._consumed(),
            what=f"a consumer of each queue of {self.host}",
            timeout_s=CONSUME_TIMEOUT_S,
        )

    def command(self, *words: str) -> None:
        """Run a command of the app to its end."""
        subprocess.run([sys.executable, "-m", "celery", "-A", "alerts.app", *words], env=self.environment, check=True)

    def publish(self, queue: str, task: str, *arguments: object, every_s: float = 0.0, **options: object) -> None:
        """Publish a task, once or every so many seconds until the end."""

        def publish() -> None:
            try:
                self.app.send_task(f"alerts.app.{task}", arguments, queue=queue, **options)
                self.published += 1
            except Exception as error:  # noqa: BLE001 a fault of the broker is no fault of the bench
                print(f"  (not published to {queue}: {type(error).__name__})", flush=True)

        self.every(every_s, publish)

    def every(self, seconds: float, call: Callable[[], object]) -> None:
        """Call now, and again every so many seconds until the end; with 0 only once. It returns at once."""

        def calls() -> None:
            while not self._ending.is_set():
                call()
                if not seconds or self._ending.wait(seconds):
                    return

        threading.Thread(target=calls, name=f"{self.host}: {call}", daemon=True).start()

    def pause(self, seconds: float) -> None:
        """Wait, until the end of the system at most."""
        self._ending.wait(seconds)

    def request(self, method: str, path: str, body: object = None) -> object:
        """Ask the management API of a resource of the virtual host, such as `queues` and the rest of its path."""
        kind, _, rest = path.partition("/")
        return self.broker.management.request(method, f"{kind}/{self._there}{f'/{rest}' if rest else ''}", body)

    def close_connections(self, process: Process) -> None:
        """Close the connections of a process over the management API, which lists a new one some seconds late."""
        ports = {one.laddr.port for one in psutil.Process(process.pid).net_connections("tcp")}
        for connection in self.broker.management.request("GET", f"vhosts/{self._there}/connections"):
            if connection.get("peer_port") in ports:
                # It may have ended by itself.
                with suppress(NoManagement):
                    self.broker.management.request("DELETE", f"connections/{quote(connection['name'], safe='')}")

    def _consumed(self) -> set[str]:
        queues = self.broker.management.request("GET", f"queues/{self._there}?columns=name,consumers")
        return {queue["name"] for queue in queues if queue.get("consumers")}

    def _process(self, name: str, *words: str, proxy: Proxy | None = None, **more: str) -> Process:
        if proxy is not None:
            port, through = f":{self.broker.port}/", f":{proxy.port}/"
            more["CELERY_BROKER_URL"] = self.environment["CELERY_BROKER_URL"].replace(port, through)
        return self._start(name, [sys.executable, "-m", "celery", "-A", "alerts.app", *words], more)

    def _start(self, name: str, command: list[str], more: Mapping[str, str]) -> Process:
        process = Process(
            name,
            command,
            guard=self.guard,
            environment={**self.environment, **more},
            log=self.guard.folder / f"{self.host}-{name.replace(' ', '-')}.log",
        )
        # By SIGKILL: many of them could not end in order.
        self._running.callback(process.kill)
        process.start()
        return process


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/healthcheck", timeout=2) as answer:
            return bool(answer.read())
    except OSError:
        return False
