"""Processes are started, awaited and stopped, and none is left behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from proj.errors import DeadlinePassed, ProcessEnded
from proj.lab.processes import sweep
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.one_version


def python(program: str, guard: Guard, name: str = "program") -> Process:
    return Process(
        name,
        [sys.executable, "-u", "-c", program],
        guard=guard,
        environment={"PATH": os.environ["PATH"]},
        log=guard.folder / f"{name}.log",
    )


@pytest.fixture
def own_guard() -> Iterator[Guard]:
    """A separate guard for each test, because the guard is tested here."""
    with Guard() as guard:
        yield guard


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_process_is_ready_when_the_condition_is_true(own_guard: Guard) -> None:
    """Not before."""
    with python("print('serving'); import signal; signal.pause()", own_guard) as process:
        process.wait_until_ready(lambda: "serving" in process.log_text(), timeout_s=60)

        assert process.running


def test_process_that_ends_before_it_is_ready_is_reported_with_its_log(own_guard: Guard) -> None:
    """The error comes at once, not at the deadline."""
    with (
        python("raise SystemExit('no such port')", own_guard, "server") as process,
        pytest.raises(ProcessEnded, match="server ended with status 1 before it was ready:\nno such port"),
    ):
        process.wait_until_ready(lambda: False, timeout_s=60)


def test_process_that_is_never_ready_is_reported_after_the_deadline(own_guard: Guard) -> None:
    """The error says what was awaited, how long, and where the log is."""
    with (
        python("import signal; signal.pause()", own_guard, "server") as process,
        pytest.raises(DeadlinePassed, match=r"Timed out after 0.1 s while waiting for server to be ready \(its "),
    ):
        process.wait_until_ready(lambda: False, timeout_s=0.1)


def test_process_can_be_stopped_twice_and_before_it_was_started(own_guard: Guard) -> None:
    """A clean-up need not know whether the process was started."""
    process = python("import signal; signal.pause()", own_guard)
    process.stop()
    process.start()
    process.stop()
    process.stop()

    assert process.returncode == -signal.SIGTERM


def test_process_that_ignores_sigterm_is_killed(own_guard: Guard) -> None:
    """It is killed after the timeout."""
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); signal.pause()"
    process = python(program, own_guard)
    process.start()
    process.wait_until_ready(lambda: "deaf" in process.log_text(), timeout_s=60)

    process.stop(timeout_s=0.2)

    assert process.returncode == -signal.SIGKILL


def test_killed_process_takes_its_group_with_it(own_guard: Guard) -> None:
    """The pool processes of a worker are killed with it."""
    program = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid); import signal; signal.pause()"
    process = python(program, own_guard)
    process.start()
    process.wait_until_ready(lambda: process.log_text().endswith("\n"), timeout_s=60)
    child = int(process.log_text())

    process.kill()

    wait_until(lambda: gone(child), what="the end of the child", timeout_s=60)


def test_process_that_is_started_again_adds_to_its_log(own_guard: Guard) -> None:
    """The output before the restart is still there."""
    process = python("print('a life')", own_guard)
    for _ in range(2):
        process.start()
        wait_until(lambda: not process.running, what="its end", timeout_s=60)

    assert process.log_text() == "a life\na life\n"


def test_process_does_not_run_in_the_users_folder(
    own_guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a flowerconfig.py or a module in that folder is not loaded."""
    monkeypatch.chdir(tmp_path)
    process = python("import os; print(os.getcwd())", own_guard)
    process.start()
    wait_until(lambda: not process.running, what="its end", timeout_s=60)

    assert Path(process.log_text().strip()) == own_guard.folder.resolve()


def test_guard_kills_also_processes_that_left_their_group_and_removes_its_folder() -> None:
    """A daemon inherits the mark with the environment."""
    with Guard() as guard:
        program = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
        process = python(program, guard)
        process.start()
        process.wait_until_ready(lambda: True, timeout_s=60)
        wait_until(lambda: not process.running, what="the parent's end", timeout_s=60)
        daemon = int(process.log_text())
        assert not gone(daemon)

    assert gone(daemon)
    assert not guard.folder.exists()


def test_killed_process_leaves_no_temporary_folder() -> None:
    """Billiard's folder of a killed worker goes with the guard."""
    with Guard() as guard:
        program = (
            "import os, signal\n"
            "from billiard.util import get_temp_dir\n"
            "print(get_temp_dir(), flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        process = python(program, guard)
        process.start()
        wait_until(lambda: not process.running, what="the end of the process", timeout_s=60)
        folder = Path(process.log_text().strip())
        assert folder.is_dir()

    assert not folder.exists()


def test_guard_kills_everything_when_its_parent_is_killed() -> None:
    """After SIGKILL the parent cannot clean up; the guard does."""
    program = (
        "import signal, subprocess, sys\n"
        "from proj.lab.processes.guard import Guard\n"
        "guard = Guard()\n"
        "guard.start()\n"
        "child = subprocess.Popen(['sleep', '600'], env={**guard.environment, 'PATH': '/usr/bin:/bin'},"
        " start_new_session=True)\n"
        "print(child.pid, guard.folder, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    parent.stdout.close()

    parent.kill()
    parent.wait()

    wait_until(lambda: gone(int(pid)), what="the end of the child", timeout_s=60)
    wait_until(lambda: not Path(folder).exists(), what="the end of the folder", timeout_s=60)


def test_process_that_a_killed_lab_had_only_forked_is_ended_too(tmp_path: Path) -> None:
    """It has the mark only when it has begun its program; on a busy machine that is after the guard's first look."""
    mark, folder = secrets.token_hex(16), tmp_path / "folder"
    folder.mkdir()
    # Without the mark until it is told to go on, as between fork and exec.
    words = ["sh", "-c", f"read line; exec env {sweep.MARK_VARIABLE}={mark} sleep 600"]
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE) as forked,
        subprocess.Popen([sys.executable, sweep.__file__, mark, str(folder)], stdin=subprocess.PIPE) as guard,
    ):
        try:
            assert guard.stdin is not None
            guard.stdin.close()
            wait_until(lambda: not folder.exists(), what="the guard's first look", timeout_s=60)
            forked.communicate(b"go on\n", timeout=60)

            assert forked.returncode == -signal.SIGKILL
            assert guard.wait(timeout=60) == 0
        finally:
            forked.kill()
            guard.kill()
