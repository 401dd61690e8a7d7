"""A signal ends a command at its next wait, at whatever moment the signal comes."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from proj import interruption
from proj.commands.terminal.interrupt import Interrupted, interruptible
from proj.interruption import raise_if_interrupted
from proj.lab.processes.waiting import wait_until
from proj.service import await_event

if TYPE_CHECKING:
    from collections.abc import Callable


class SignalledInDestructor:
    """Python prints and forgets whatever its destructor raises."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        """Send the signal."""
        signal.raise_signal(self._number)


def run(command: Callable[[], object]) -> None:
    with interruptible("The command has ended."):
        command()


def wait_in_vain() -> None:
    wait_until(lambda: False, what="what never comes", timeout_s=5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_in_a_destructor_ends_the_command_at_its_next_wait(number: int) -> None:
    """An exception that the handler raised there would be lost, and the command would go on for ever."""
    victim = [SignalledInDestructor(number)]

    def command() -> None:
        victim.clear()
        wait_in_vain()

    with pytest.raises(Interrupted, match="ended"):
        run(command)


def test_signal_ends_a_wait_for_an_event() -> None:
    """It does not have to wait for the other thread."""

    def command() -> None:
        signal.raise_signal(signal.SIGINT)
        await_event(threading.Event(), 5)

    with pytest.raises(Interrupted):
        run(command)


def test_signal_after_the_last_wait_ends_the_command_too() -> None:
    """The exit code tells that it was interrupted, whenever that was."""
    with pytest.raises(Interrupted):
        run(lambda: signal.raise_signal(signal.SIGTERM))


def test_signal_ends_one_wait_so_that_the_command_can_clean_up() -> None:
    """The waits of the clean-up go on to their end."""
    cleaned = []

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            wait_in_vain()
        finally:
            cleaned.append(wait_until(lambda: True, what="the clean-up", timeout_s=5))

    with pytest.raises(Interrupted):
        run(command)
    assert cleaned == [True]


def test_signal_ends_no_wait_of_another_thread() -> None:
    """A thread ends when the main thread tells it to, with its own clean-up."""
    waited: list[bool] = []
    thread = threading.Thread(target=lambda: waited.append(wait_until(lambda: True, what="it", timeout_s=5)))

    def command() -> None:
        signal.raise_signal(signal.SIGINT)
        thread.start()
        thread.join(5)
        raise_if_interrupted()

    with pytest.raises(Interrupted):
        run(command)
    assert waited == [True]


def test_second_signal_ends_a_command_that_hangs_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may wait for longer than a person does."""
    monkeypatch.setattr(interruption, "PATIENCE_S", 0.0)
    reached = []

    def command() -> None:
        for number in (1, 2, 3):
            reached.append(number)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        run(command)
    assert reached == [1, 2]


def test_signal_of_an_earlier_block_is_forgotten() -> None:
    """The next block starts without it, and the handlers are those from before."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        run(lambda: signal.raise_signal(signal.SIGTERM))

    run(raise_if_interrupted)

    assert signal.getsignal(signal.SIGTERM) == before
