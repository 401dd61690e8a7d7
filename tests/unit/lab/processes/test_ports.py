"""Ports that the lab chooses for servers which do not listen yet."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from proj.errors import InvalidSetting
from proj.lab.processes import ports

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Another process, which chooses a port, says so, and lives until its input ends.
CHOOSER = (
    "import sys; from proj.lab.processes.ports import free_port;"
    "print(free_port(*map(int, sys.argv[1:])), flush=True); input()"
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has sockets whose names end with their process"
)


@contextmanager
def other_process(*preferred: int) -> Iterator[int]:
    """The port that another process has chosen; the process ends at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", CHOOSER, *map(str, preferred)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        yield int(other.stdout.readline())
        other.communicate("\n")


def test_port_that_another_process_has_chosen_is_not_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server listens seconds later; two brokers on one port would end one of them."""
    with other_process() as port:
        monkeypatch.setattr(ports, "FIRST_PORT", port)
        monkeypatch.setattr(ports, "LAST_PORT", port)

        with pytest.raises(InvalidSetting, match="the range of ports"):
            ports.free_port()

    assert ports.free_port() == port


def test_preferred_port_that_another_process_has_chosen_is_left_to_it() -> None:
    """Two demos that start at once would both choose 5555, and the Flower of the second would find it in use."""
    with other_process() as free:
        pass
    with other_process(free) as preferred:
        assert preferred == free
        assert ports.is_free(preferred)
        assert ports.free_port(preferred) != preferred
