"""What the faults strike: a broker, the dashboard, a Prometheus that scrapes it, workers and publishers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from alerts.prometheus import Prometheus
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process
from proj.lab.processes.supervisor import Supervisor
from proj.service import Service

if TYPE_CHECKING:
    from celery import Celery

#: Seconds until each process must serve.
START_TIMEOUT_S = 120.0


class System(Service):
    """Everything, with an app that is not ours."""

    def __init__(self) -> None:
        """Nothing is started before `start`."""
        self.guard = Guard()
        self.published = 0
        self._ending = threading.Event()
        self._running = ExitStack()

    def start(self) -> None:
        """Start the broker, the dashboard and Prometheus."""
        self._running.enter_context(self.guard)
        self.broker = self._running.enter_context(Broker(self.guard))
        self.environment = child_environment(
            CELERY_BROKER_URL=self.broker.url(),
            FLOWER_BROKER_API=self.broker.management_url,
            PYTHONPATH=str(Path(__file__).parents[1]),
        )
        port = free_port()
        self.dashboard = self._process("dashboard", "dashboard", f"--address={LOOPBACK}", f"--port={port}")
        self._running.enter_context(self.dashboard)
        self.dashboard.wait_until_ready(lambda: _answers(port), timeout_s=START_TIMEOUT_S)
        self.prometheus = self._running.enter_context(Prometheus(self.guard, port))
        self.prometheus.wait_until_ready(self.prometheus.answers, timeout_s=START_TIMEOUT_S)
        os.environ["CELERY_BROKER_URL"] = self.broker.url()

    def stop(self) -> None:
        """End everything; safe to call twice and before `start`."""
        self._ending.set()
        self._running.close()

    def worker(self, queue: str, *more: str, slots: int = 2, name: str | None = None, prefetch: int = 1) -> Process:
        """A worker of these queues, which has started when the broker has delivered it something."""
        words = ("--hostname", f"{name or queue}@shop", "--queues", ",".join((queue, *more)))
        process = self._process(
            f"worker {name or queue}", "worker", *words, "--concurrency", str(slots), SHOP_PREFETCH=str(prefetch)
        )
        return self._running.enter_context(process)

    def supervise(self, process: Process) -> Supervisor:
        """Start the process again whenever it ends, until the end of the system."""
        return self._running.enter_context(Supervisor(process))

    def command(self, *words: str) -> None:
        """Run a command of the app to its end."""
        subprocess.run([sys.executable, "-m", "celery", "-A", "alerts.app", *words], env=self.environment, check=True)

    def publish(self, queue: str, task: str, *arguments: float, every_s: float = 0.0, **options: float) -> None:
        """Publish a task, once or every so many seconds until the end."""
        app = self.app()

        def publish() -> None:
            while not self._ending.is_set():
                try:
                    app.tasks[f"alerts.app.{task}"].apply_async(arguments, queue=queue, **options)
                    self.published += 1
                except Exception as error:  # noqa: BLE001 a fault of the broker is no fault of the bench
                    print(f"  (not published to {queue}: {type(error).__name__})", flush=True)
                if not every_s or self._ending.wait(every_s):
                    return

        threading.Thread(target=publish, name=f"publisher of {queue}", daemon=True).start()

    def app(self) -> Celery:
        """The app, for the broker that runs."""
        from alerts.app import app  # noqa: PLC0415 it reads the broker's address when it is imported

        return app

    def _process(self, name: str, *words: str, **more: str) -> Process:
        return Process(
            name,
            [sys.executable, "-m", "celery", "-A", "alerts.app", *words],
            guard=self.guard,
            environment={**self.environment, **more},
            log=self.guard.folder / f"{name.replace(' ', '-')}.log",
        )


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/healthcheck", timeout=2) as answer:
            return bool(answer.read())
    except OSError:
        return False
