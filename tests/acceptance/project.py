"""A user's project beside the wheel: what the user types in its folder."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

from proj.journal.reader import open_journal
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from proj.journal.attempt import Attempt
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process
    from tests.acceptance.installed import Installed

#: Seconds; the machine may be busy.
TIMEOUT_S = 60


class Project:
    """A folder with an app that is not ours; what was started in it ends with it."""

    def __init__(
        self, app: str, folder: Path, *, installed: Installed, guard: Guard, variables: dict[str, str]
    ) -> None:
        """Type commands in `folder`, with `-A app`."""
        self.folder = folder
        #: The commands that were run, such as "queues" and "queues dead".
        self.typed: set[str] = set()
        self._app = app
        self._installed = installed
        self._guard = guard
        self._variables = variables
        self._running = ExitStack()

    def close(self) -> None:
        """End what was started."""
        self._running.close()

    def python(self, *words: str) -> str:
        """What `python …` prints, which must end well."""
        done = self._installed.run(*words, cwd=self.folder, **self._variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def celery(self, *words: str) -> str:
        """What `celery -A app …` prints, which must end well."""
        return self.python(*self._celery(words))

    def start(self, name: str, *words: str) -> Process:
        """A process `celery -A app …`."""
        process = self._installed.process(
            name, *self._celery(words), cwd=self.folder, guard=self._guard, **self._variables
        )
        self._running.callback(process.kill)
        process.start()
        return process

    def start_worker(self, node: str) -> Process:
        """A worker of one slot, which is ready."""
        worker = self.start(node, "worker", "--hostname", f"{node}@user", "--concurrency", "1", "--loglevel", "INFO")
        worker.wait_until_ready(lambda: " ready." in worker.log_text(), timeout_s=TIMEOUT_S)
        return worker

    def start_recorder(self, journal: Path) -> Process:
        """A recorder with a run, which hears the workers."""
        recorder = self.start("recorder", "journal", "record", "-o", str(journal), "--run", "today")
        recorder.wait_until_ready(journal.exists, timeout_s=TIMEOUT_S)
        return recorder

    def _celery(self, words: tuple[str, ...]) -> tuple[str, ...]:
        self.typed |= {words[0], " ".join(words[:2])}
        return ("-m", "celery", "-A", self._app, *words)


def kill_at_work(worker: Process, node: str, task: str, journal: Path) -> str:
    """Kill the worker of one slot while it runs such a task, and return the id of that.

    The recorder has the task's start by then, and so has the ends of those before it. The last events of a killed
    worker are lost, and `audit` could not know of an end that only they tell.
    """
    running: list[str] = []

    def runs() -> bool:
        started = [one for one in attempts(journal) if one.running and (one.worker, one.name) == (node, task)]
        running[:] = [one.task_id for one in started if f"[{one.task_id}] succeeded" not in worker.log_text()]
        return bool(running)

    worker.wait_until_ready(runs, timeout_s=TIMEOUT_S)
    worker.kill()
    assert f"{task}[{running[0]}] succeeded" not in worker.log_text()
    return running[0]


def attempts(journal: Path) -> list[Attempt]:
    """What was recorded until now."""
    with open_journal(journal) as opened:
        return list(opened.attempts())


def interrupt(process: Process) -> int | None:
    """The exit code after Ctrl-C."""
    os.kill(process.pid, signal.SIGINT)
    wait_until(lambda: not process.running, what=f"the end of {process.name}", timeout_s=TIMEOUT_S)
    return process.returncode
