"""Ports that the lab chooses for servers which do not listen yet."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proj.errors import InvalidSetting
from proj.lab.processes import ports

#: Another process, which chooses a port, says so, and lives until its input ends.
CHOOSER = "from proj.lab.processes.ports import free_port; print(free_port(), flush=True); input()"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has sockets whose names end with their process")
def test_port_that_another_process_has_chosen_is_not_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server listens seconds later; two brokers on one port would end one of them."""
    with subprocess.Popen(
        [sys.executable, "-c", CHOOSER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        monkeypatch.setattr(ports, "FIRST_PORT", port)
        monkeypatch.setattr(ports, "LAST_PORT", port)

        with pytest.raises(InvalidSetting, match="the range of ports"):
            ports.free_port()
        other.communicate("\n")

    assert ports.free_port() == port
