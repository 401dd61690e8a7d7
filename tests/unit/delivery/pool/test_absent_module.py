"""A module that kombu looks for at each connection, and the pool processes that are forked meanwhile."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from kombu import Connection

from proj.delivery.pool.absent_module import LIBRABBITMQ, look_once

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(LIBRABBITMQ) is not None, reason="librabbitmq is installed here"
)

#: A thread that looks for librabbitmq and never ends; a process that is forked then makes a connection.
FORKED = """
import os, signal, sys, threading
from kombu import Connection
from proj.delivery.pool.absent_module import LIBRABBITMQ, look_once

class Endless:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == LIBRABBITMQ and threading.current_thread() is not threading.main_thread():
            looks.set()
            threading.Event().wait()

looks = threading.Event()
if sys.argv[1:] == ["once"]:
    look_once(LIBRABBITMQ)
sys.meta_path.insert(0, Endless)
thread = threading.Thread(target=Connection, args=("amqp://",), daemon=True)
thread.start()
while thread.is_alive() and not looks.wait(0.01):
    pass
if (pid := os.fork()) == 0:
    signal.alarm(20)
    Connection("amqp://")
    print("connected", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
os._exit(0)
"""


class Asked:
    """A finder that finds nothing, and counts how often it is asked for librabbitmq."""

    def __init__(self) -> None:
        self.times = 0

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        self.times += name == LIBRABBITMQ


def test_connections_look_for_the_module_no_more_once_it_was_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before that each of them does; if that changes, there is no need for this."""
    monkeypatch.setitem(sys.modules, LIBRABBITMQ, None)
    monkeypatch.delitem(sys.modules, LIBRABBITMQ)
    asked = Asked()
    monkeypatch.setattr(sys, "meta_path", [asked, *sys.meta_path])
    Connection("amqp://")
    Connection("amqp://")
    assert asked.times == 2

    look_once(LIBRABBITMQ)
    asked.times = 0
    Connection("amqp://")

    assert asked.times == 0


def test_process_that_is_forked_while_a_thread_makes_a_connection_can_make_one() -> None:
    """It inherits no import lock; otherwise its first task would never end."""
    command = [sys.executable, "-c", FORKED, "once"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert done.stdout == "connected\n", done.stderr
