"""`celery -A proj demo`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Celery

DEMO = (sys.executable, "-m", "celery", "-A", "proj", "demo")
#: Enough work to be interrupted in, and never done by itself within a test.
LONG = ("--messages", "100", "--dot-seconds", "1")
#: Seconds until a broker, Flower and six workers are ready, on a busy machine.
READY_TIMEOUT_S = 180

pytestmark = pytest.mark.timeout(300)


#: What the page shows of a demo of four messages that has ended.
COMPLETE = ("demo", True, False, {"round-robin": 4, "fair": 4, "adaptive": 4})


def shown(page: str) -> tuple[str | None, bool, bool, dict[str, int]]:
    """The run that the page shows: its name, whether it has a mark and is open, and tasks by dispatch mode."""
    with urllib.request.urlopen(f"{page.partition('?')[0]}/data", timeout=10) as answer:
        data = json.load(answer)
    run = next((run for run in data["runs"] if run["name"] == data["run"]), {"marked": False})
    return data["run"], run["marked"], data["open"], {group["dispatch"]: group["tasks"] for group in data["groups"]}


class Demo:
    """A demo that runs, its output so far, and every process that it started."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
        self.talk_file = folder / "stderr"
        self.talk_file.touch()
        with self.talk_file.open("w") as talk:
            self.popen = subprocess.Popen(
                [*DEMO, *arguments], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=talk, text=True
            )
        self.family: set[psutil.Process] = set()

    def wait_until_it_says(self, text: str) -> None:
        """Wait for a text in its output, and remember its processes."""
        wait_until(lambda: self.observe() or self.has_said(text), what=text, timeout_s=READY_TIMEOUT_S)
        self.observe()

    def has_said(self, text: str) -> bool:
        talk = self.talk_file.read_text()
        assert text in talk or self.popen.poll() is None, f"The demo has ended: {talk}"
        return text in talk

    def observe(self) -> None:
        self.family.update(psutil.Process(self.popen.pid).children(recursive=True))

    def end(self, number: signal.Signals) -> int:
        self.popen.send_signal(number)
        self.popen.communicate(timeout=60)
        return self.popen.returncode

    def remaining(self) -> list[str]:
        return [process.name() for process in self.family if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def running(arguments: tuple[str, ...], environment: dict[str, str], folder: Path) -> Iterator[Demo]:
    """A demo that is killed at the end of the block."""
    demo = Demo(arguments, environment, folder)
    try:
        yield demo
    finally:
        # Also when it has ended: this closes its pipe.
        demo.end(signal.SIGKILL)


@pytest.fixture
def demo(terminal_environment: dict[str, str], tmp_path: Path) -> Iterator[Demo]:
    """A demo with too much work to end by itself."""
    with running((*LONG, "--keep"), terminal_environment, tmp_path) as demo:
        yield demo


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting a private RabbitMQ", signal.SIGKILL),
        ("Starting Flower", signal.SIGTERM),
        ("messages sent in each mode", signal.SIGINT),
        ("messages sent in each mode", signal.SIGTERM),
        ("messages sent in each mode", signal.SIGKILL),
    ],
)
def test_demo_leaves_nothing_behind_whenever_it_is_ended(demo: Demo, moment: str, number: signal.Signals) -> None:
    """No node, epmd, worker or Flower is left, whatever it did and whichever signal ended it."""
    demo.wait_until_it_says(moment)

    status = demo.end(number)

    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    wait_until(lambda: not demo.remaining(), what=f"the end of {demo.remaining()}", timeout_s=60)


def test_demo_starts_what_it_promises(demo: Demo) -> None:
    """A RabbitMQ, its epmd, Flower and two workers for each mode: the processes that the test above looks for."""
    demo.wait_until_it_says("messages sent in each mode")

    commands = [" ".join(process.cmdline()) for process in demo.family if process.is_running()]

    assert sum("beam.smp" in command for command in commands) >= 1
    assert sum("epmd -port" in command for command in commands) == 1
    assert sum(" dashboard " in command for command in commands) == 1
    nodes = {found[1] for command in commands if (found := re.search(r"--hostname (\S+)", command))}
    assert nodes == {f"{mode}-{number}@demo" for mode in ("round-robin", "fair", "adaptive") for number in (1, 2)}
    assert re.search(
        r"Dispatch page, in Flower: http://127\.0\.0\.1:\d+/dispatch\?view=race\n", demo.talk_file.read_text()
    )


def test_demo_figures_are_what_the_workers_did(celery: Celery) -> None:
    """Round-robin: one worker gets all heavy messages. Fair and adaptive: each gets half. All work on every message."""
    done = celery("-A", "proj", "demo", "--messages", "12", "--json", "--open", BROWSER="/nowhere/browser")

    assert done.returncode == 0, done.stderr
    # It says so and goes on; and with --json it ends, since a program waits for its figures.
    assert "No browser could be opened" in done.stderr
    round_robin, *fair = outcomes = json.loads(done.stdout)
    assert [outcome["mode"] for outcome in outcomes] == ["round-robin", "fair", "adaptive"]
    for outcome in outcomes:
        assert (outcome["sent"], outcome["done"], sum(outcome["tasks"].values())) == (12, 12, 12)
        # Six heavy messages of 20 dots and six light ones of one, at 0.1 s a dot, on two slots. A busy machine can
        # only lengthen a dot.
        assert outcome["ideal_s"] == pytest.approx(sum(outcome["busy_s"].values()) / 2)
        assert outcome["ideal_s"] >= 6.3
        assert outcome["ratio"] == pytest.approx(outcome["makespan_s"] / outcome["ideal_s"])
    assert sorted(round_robin["tasks"].values()) == [6, 6]
    light, heavy = sorted(round_robin["busy_s"].values())
    assert light >= 0.6
    assert heavy >= 12.0
    assert heavy > 8 * light
    # At most one second of light work beside every eight of heavy work.
    assert round_robin["ratio"] > 2 * 8 / 9
    for outcome in fair:
        # Three heavy messages at each worker. How near that comes to the ideal depends on what else the machine does.
        assert min(outcome["busy_s"].values()) >= 6.0
        assert outcome["ratio"] < round_robin["ratio"]


def test_demo_prints_one_row_for_each_mode_and_its_progress_on_stderr(celery: Celery) -> None:
    """Only the table is on stdout."""
    done = celery("-A", "proj", "demo", "--messages", "4", "--workers", "1", "--dot-seconds", "0.01")

    assert done.returncode == 0, done.stderr
    assert re.search(r"^ ?round-robin +4 +\d+\.\d +\d\.\d\d s +\d\.\d\d s +\d\.\d\d ", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^ ?fair +4 ", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^ ?adaptive +4 ", done.stdout, flags=re.MULTILINE)
    assert "Dispatch page, in Flower: http://127.0.0.1:" in done.stderr
    assert "Flower" not in done.stdout


def test_demo_opens_its_page_in_the_browser_and_serves_it_until_ctrl_c(
    terminal_environment: dict[str, str], tmp_path: Path
) -> None:
    """The page shows all modes, also after the work is done."""
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o700)
    environment = {**terminal_environment, "BROWSER": str(browser)}
    with running(("--messages", "4", "--dot-seconds", "0.01", "--open"), environment, tmp_path) as demo:
        demo.wait_until_it_says("until Ctrl-C")
        (page,) = re.findall(r"The page stays at (\S+)", demo.talk_file.read_text())

        assert opened.read_text() == page
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert "Dispatch" in answer.read().decode()
        wait_until(lambda: shown(page) == COMPLETE, what=f"a complete run on the page, not {shown(page)}", timeout_s=60)
        assert demo.end(signal.SIGINT) == 0
        wait_until(lambda: not demo.remaining(), what=f"the end of {demo.remaining()}", timeout_s=60)


@pytest.mark.parametrize("option", [("--messages", "0"), ("--workers", "many"), ("--dot-seconds", "-1")])
def test_demo_refuses_a_wrong_option_before_it_starts_anything(celery: Celery, option: tuple[str, str]) -> None:
    """The exit code is 2, and the error names the option."""
    refused = celery("-A", "proj", "demo", *option)

    assert refused.returncode == 2
    assert option[0] in refused.stderr
    assert "Starting" not in refused.stderr
