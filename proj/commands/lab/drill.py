"""`celery -A proj lab drill`: injects faults, and counts what became of every task."""

from __future__ import annotations

from pathlib import Path

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.commands.terminal.options import dispatch_option, nodes_option, rabbitmq_version_option
from proj.errors import InvalidSetting


@click.command(cls=CeleryCommand)
@click.option(
    "--fault",
    "names",
    multiple=True,
    metavar="NAME",
    help="A fault by name; may be given several times.  [default: all]",
)
@click.option(
    "--queue-type",
    "queue_types",
    type=click.Choice(["quorum", "classic"]),
    multiple=True,
    show_default="both, at the same time; quorum with --nodes 3",
    help="Type of queue.",
)
@click.option("--short", is_flag=True, help="Only a few faults, in less than a minute.")
@dispatch_option(more=". Round-robin acknowledges early, so its drills find losses.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Copy evidence and logs of a drill that broke a promise into this folder.",
)
@nodes_option
@rabbitmq_version_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
@handle_preload_options
def drill(  # noqa: PLR0913 one parameter for each option
    ctx: click.Context,
    *,
    names: tuple[str, ...],
    queue_types: tuple[str, ...],
    short: bool,
    dispatch: str,
    keep: Path | None,
    nodes: int,
    version: str | None,
    as_json: bool,
) -> None:
    """Inject faults into workers, broker, network and messages, and count what is lost.

    Each drill has a virtual host, two workers under a supervisor, and a publisher that calls tasks all the time.
    Tasks and publisher write each step into a file; the verdict comes from that file alone. A drill also fails when
    its fault had no effect, when a slot no longer works afterwards, or when a task that is not part of the fault was
    dead-lettered. A fault that cannot happen on this RabbitMQ is skipped, with the reason.

    \b
    Faults of workers:
      worker-killed       SIGKILL of the main process, three times
      child-killed        SIGKILL of a pool process, three times
      sigterm             warm shutdown of each worker
      sigquit             cold shutdown of each worker
      soft-shutdown       soft shutdown of each worker
      suspended           SIGSTOP until the broker has dropped the worker, then SIGCONT
      no-descriptors      a worker that can open no file and no socket any more
      embedded-worker     a worker in a thread of someone's process ends, then connections freeze; the process goes on
    Faults of the broker:
      connections-closed  the broker closes every connection, three times
      memory-alarm        the broker blocks publishers
      queue-full          the broker rejects publishes: length limit and reject-publish
      broker-restarted    the broker is stopped in order, and started again
      broker-killed       SIGKILL of the broker, and started again
      consumer-timeout    a task that takes longer than the broker's consumer timeout
      long-task           the same, with workers whose `proj_consumer_timeout_s` is that timeout
      dead-letters-gone   the queue of dead letters is deleted, and messages expire after that
    Faults of the result backend:
      backend-away        it refuses every result for nine seconds
      backend-slow        it takes a second for each result
      alarm-with-lease    the broker blocks publishers for longer than a lease, and workers send events
    Faults of the network, by a proxy:
      network-cut         no connection for three seconds
      half-open           open connections freeze, new ones pass
      handshake-frozen    new connections freeze in the middle of their handshake
    Faults of tasks and messages:
      kills-child         a task that kills its pool process each time
      kills-main          a task that kills the worker's main process each time
      system-exit         a task that raises SystemExit each time
      memory-error        a task that raises MemoryError each time
      malformed           messages that no worker can run
      poisoned-bulk       one send_many of 300 tasks, two with headers that would close the connection
    Faults of a pipeline, where each worker is a stage:
      stage-killed        SIGKILL of a stage's main process, three times
      stage-child-killed  SIGKILL of a stage's pool process, three times
      stage-raises        a stage that raises an error for some messages
    Faults of a cluster, with --nodes 3:
      leader-killed       SIGKILL of the node that leads the queue
      follower-killed     SIGKILL of another node
      leader-moved        the lead of the queue is transferred, three times
      disk-alarm          the disk alarm of one node, upon which all nodes block publishers
      node-cut-off        a node loses its connections to the others for 20 seconds, and keeps its clients
      majority-killed     SIGKILL of two nodes, and one of them started again
      rolling-restart     each node in turn is stopped in order, and started again
      cluster-killed      SIGKILL of all nodes, and started again

    With --nodes 3 the drills run on a private cluster: those of a cluster, or the named ones. Workers and publisher
    know all nodes, and the queue has a member on each. The table then has also the longest time without the end of a
    task after the fault (pause), and the time until all tasks were done that were confirmed before it (rest). Where
    no majority was left, both begin when there is one again.

    \b
    What is counted:
      confirmed  publishes that returned
      raised     publishes that raised an error: their caller knows that they may be lost
      done       tasks whose code ran to its end
      twice      starts of tasks beyond the first of each / the most that the fault allows: the tasks in flight, and
                 the tasks that one of these had handed on to the next stage
      dead       messages in the dead-letter queue
      lost       tasks that were confirmed, and neither finished nor dead-lettered

    Exit codes: 0 all promises kept; 1 a task was lost, or another promise was broken; 2 wrong use; 130 interrupted.
    """
    del ctx
    from proj.commands.lab.drill_table import show_drills
    from proj.lab.drills.faults.cluster import NODES
    from proj.lab.drills.run_drills import chosen_faults

    if nodes not in (1, NODES):
        raise InvalidSetting("--nodes", nodes, f"1 or {NODES}")
    queue_types = queue_types or (("quorum", "classic") if nodes == 1 else ("quorum",))
    faults = {
        queue_type: chosen_faults(names, queue_type, short=short, nodes=nodes)
        for queue_type in dict.fromkeys(queue_types)
    }
    show_drills(
        {queue_type: some for queue_type, some in faults.items() if some},
        dispatch=dispatch,
        keep=keep,
        version=version,
        nodes=nodes,
        as_json=as_json,
    )
