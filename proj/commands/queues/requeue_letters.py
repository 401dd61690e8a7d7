"""`queues dead --requeue`: requeues letters until Ctrl-C, says how far it is, and names what may be done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.commands.terminal.console import echo, echo_json
from proj.commands.terminal.interrupt import interruptible
from proj.plural import counted

if TYPE_CHECKING:
    from proj.delivery.dead_letters.choice import Chosen
    from proj.delivery.dead_letters.queue import DeadLetterQueue
    from proj.delivery.dead_letters.requeue import Requeue, Requeued
    from proj.journal.actions import Count

#: Letters after which it says how far it is.
PROGRESS = 500


def requeue_letters(
    letters: DeadLetterQueue,
    requeue: Requeue,
    chosen: Chosen,
    *,
    to: str | None,
    as_json: bool,
    count: Count,
) -> int:
    """Requeue the chosen letters, print what became of each, and `count` them; how many could not be requeued.

    Raises:
        Interrupted: Ctrl-C, SIGTERM or a hang-up ended it between two letters.
    """
    failed = 0
    if requeue.warning:
        echo(requeue.warning, err=True)
    with interruptible("Interrupted. The letters that are not named above stay where they are."):
        for each in chosen.requeue(requeue):
            if each.error is None:
                count.value += 1
                _print_requeued(each, to or each.letter.queue, as_json=as_json)
            else:
                failed += 1
                echo(each.error, err=True)
            if (count.value + failed) % PROGRESS == 0:
                echo(f" [ ] {count.value:,} requeued; {letters.name} had {counted(letters.total, 'letter')}", err=True)
    return failed


def _print_requeued(each: Requeued, queue: str | None, *, as_json: bool) -> None:
    if as_json:
        twice = {"twice": True} if each.twice else {}
        echo_json({"id": each.letter.id, "done": "requeued", "queue": queue, **twice})
    else:
        echo(f" [x] Requeued {each.letter.id} to {queue}")
    if each.twice:
        echo(
            f"{each.letter.id} may be in {queue} twice: a requeue was killed while it was at work on it.",
            err=True,
        )
