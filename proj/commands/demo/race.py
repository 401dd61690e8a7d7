"""Runs the demo: starts broker, Flower and workers, shows the work while it runs, then prints the figures."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.live import Live

from proj.commands.demo.scoreboard import results_table, scoreboard
from proj.commands.terminal.browser import opened
from proj.commands.terminal.console import SafeConsole, echo, echo_json
from proj.commands.terminal.interrupt import interruptible
from proj.lab.cluster import private_broker
from proj.lab.definitions import USER
from proj.lab.processes.flower import START_TIMEOUT_S, FlowerProcess
from proj.lab.processes.guard import Guard
from proj.lab.processes.waiting import wait_until
from proj.lab.runs.mode_race import ModeRace
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.lab.broker import Broker
    from proj.lab.cluster import Cluster
    from proj.lab.runs.mode_race import RacePlan

#: Frames per second of the live view.
FRAMES_PER_SECOND = 8
#: Seconds that all work may take beyond the time that one worker would need. After that, work is missing.
PATIENCE_S = 60.0


def run_race(
    plan: RacePlan, *, keep: bool, open_page: bool, version: str | None = None, nodes: int = 1, as_json: bool
) -> None:
    """Run the plan on a private broker with the Dispatch page beside it, and print what its workers did.

    Raises:
        MissingProgram: this version of RabbitMQ is not there.
        ProjError: a process did not start, or a task did not end.
        Interrupted: Ctrl-C, SIGTERM or a hang-up came; nothing is left running.
    """
    with interruptible("Interrupted; nothing is left running."), Guard() as guard:
        _say("Starting a private RabbitMQ …")
        with private_broker(guard, nodes=nodes, version=version) as broker:
            _say(f"Starting Flower, and {plan.workers} workers for each of {_listed(plan.modes)} …")
            flower = FlowerProcess(guard, broker_url=broker.url(), management_url=broker.management_url)
            with flower, ModeRace(plan, broker=broker, guard=guard) as race:
                # The workers run now, and Flower receives their heartbeats.
                flower.wait_until_ready(flower.hears, timeout_s=START_TIMEOUT_S)
                _say(f"Dispatch page, in Flower: {flower.page}")
                if open_page and not opened(flower.page):
                    _say("No browser could be opened here; open that page yourself.")
                _run(race)
                _report(race, as_json=as_json)
                if keep:
                    _keep(broker, flower)


def _run(race: ModeRace) -> None:
    """Send the workload, and show the work until all of it is done."""
    race.publish()
    _watch(race)
    race.conclude()


def _watch(race: ModeRace) -> None:
    plan = race.plan
    timeout_s = PATIENCE_S + sum(message.count(".") for message in plan.messages) * plan.dot_seconds
    talk = SafeConsole(stderr=True)
    if not talk.is_terminal:
        _say(f"{counted(len(plan.messages), 'message')} sent in each mode; waiting for the workers …")
        wait_until(race.finished, what="the end of all work", timeout_s=timeout_s)
        return
    with Live(
        console=talk,
        get_renderable=lambda: scoreboard(race, width=talk.width),
        refresh_per_second=FRAMES_PER_SECOND,
        transient=True,
    ):
        wait_until(race.finished, what="the end of all work", timeout_s=timeout_s)


def _keep(broker: Broker | Cluster, flower: FlowerProcess) -> None:
    """Keep everything running until Ctrl-C, which is then not a failure."""
    _say(f"The page stays at {flower.page} until Ctrl-C, and so do the broker and the workers.")
    _say(f"RabbitMQ's own page: {broker.management.page}  user: {USER}  password: {broker.password}")
    with contextlib.suppress(KeyboardInterrupt):
        wait_until(lambda: False, what="Ctrl-C", timeout_s=float("inf"))
    _say("Ending …")


def _report(race: ModeRace, *, as_json: bool) -> None:
    outcomes = [race.outcome(mode) for mode in race.plan.modes]
    if as_json:
        echo_json([{**asdict(outcome), "ratio": outcome.ratio} for outcome in outcomes], indent=2)
    else:
        SafeConsole().print(results_table(race.plan, outcomes))


def _listed(names: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _say(text: str) -> None:
    """Print to stderr; stdout is for the figures."""
    echo(text, err=True)
