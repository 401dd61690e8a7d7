"""`celery -A proj lab soak`: many tasks for minutes, with a random fault every few seconds."""

from __future__ import annotations

import random

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import dispatch_option, queue_type_option, rabbitmq_version_option


@click.command(cls=CeleryCommand)
@click.option("--minutes", type=click.FloatRange(min=0.1), default=20.0, show_default=True, help="How long.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two faults.",
)
@click.option("--seed", type=int, help="Chooses the order of the faults.  [default: another one each time]")
@queue_type_option
@dispatch_option()
@rabbitmq_version_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@handle_preload_options
def soak(
    ctx: click.Context,
    *,
    minutes: float,
    every_s: float,
    seed: int | None,
    queue_type: str,
    dispatch: str,
    version: str | None,
    as_json: bool,
) -> None:
    """Run as many tasks as the machine can, inject a random fault every few seconds, and count what is lost.

    Two workers of two slots under a supervisor, a steady one that no fault kills, a publisher that keeps up to 2,000
    tasks waiting, `journal record` and the dashboard, on a private RabbitMQ. One task of 50 works for 50 ms, the others
    for no time. Each fault of `lab drill` comes once before one comes again, but those that need other settings and
    those in which a task is to blame. Tasks and publisher write each step into a file; the verdict comes from that file
    alone.

    \b
    What is counted:
      confirmed  tasks whose publisher knows that the broker has them
      raised     tasks whose publisher got an error: it knows that they may be lost
      done       tasks whose code ran to its end
      twice      starts of tasks beyond the first of each / the most that the faults allow: what was in flight
      dead       messages in the dead-letter queue; no task deserves one
      lost       tasks that were confirmed, and neither finished nor dead-lettered

    Then, for each kind of process, the memory that it has for itself, and by how much memory, descriptors and threads
    grew a minute, without the first minute of each process.

    Exit codes: 0 all promises kept; 1 a task was lost, or another promise was broken; 2 wrong use; 130 interrupted.
    """
    del ctx
    from proj.commands.lab.soak_table import show_soak

    show_soak(
        seconds=minutes * 60,
        every_s=every_s,
        seed=random.SystemRandom().randrange(10_000) if seed is None else seed,
        queue_type=queue_type,
        dispatch=dispatch,
        version=version,
        as_json=as_json,
    )
