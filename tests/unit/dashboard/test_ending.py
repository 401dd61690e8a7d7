"""The end of the dashboard's process."""

from __future__ import annotations

import subprocess
import sys

#: A thread of an executor that waits for what never comes, as one of Flower's does while the broker is away.
WAITING = """
import threading
from concurrent.futures import ThreadPoolExecutor
from proj.dashboard.ending import end_without_threads

executor = ThreadPoolExecutor(1)
waits = threading.Event()
executor.submit(lambda: (waits.set(), threading.Event().wait()))
waits.wait()
executor.shutdown(wait=False)
print("saved")
end_without_threads(0.1)
print("goes on")
"""
#: The same, but the thread has ended its work.
IDLE = WAITING.replace("threading.Event().wait()", "None")


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)


def test_process_ends_although_a_thread_of_an_executor_waits_for_ever() -> None:
    """With status 0, and a line that names the thread. What was printed before is not lost."""
    done = run(WAITING)

    assert (done.returncode, done.stdout) == (0, "saved\n")
    assert "ThreadPoolExecutor-0_0" in done.stderr


def test_process_goes_on_to_its_end_when_no_thread_waits() -> None:
    """A thread of an executor without work ends by itself."""
    done = run(IDLE)

    assert (done.returncode, done.stdout, done.stderr) == (0, "saved\ngoes on\n", "")
