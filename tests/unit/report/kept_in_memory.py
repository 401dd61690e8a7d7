"""A journal in memory, with the attempts of runs in several dispatch modes."""

from __future__ import annotations

from dataclasses import dataclass, field

from proj.journal.attempt import Attempt
from proj.journal.records import Action, Gap, Run, Sample, Worker

#: When the runs began: seconds since the epoch.
BEGAN = 1_000_000.0
#: Ten messages that are sent at once: every second one takes two seconds, the others a tenth.
MESSAGES = tuple(("heavy" + "." * 20, 2.0) if number % 2 == 0 else ("light.", 0.1) for number in range(10))


@dataclass(kw_only=True)
class Kept:
    """A journal in memory."""

    kept_runs: list[Run] = field(default_factory=list)
    kept: list[Attempt] = field(default_factory=list)
    kept_workers: list[Worker] = field(default_factory=list)
    kept_samples: list[Sample] = field(default_factory=list)
    kept_gaps: list[Gap] = field(default_factory=list)
    kept_actions: list[Action] = field(default_factory=list)

    def runs(self) -> list[Run]:
        return self.kept_runs

    def attempts(self, run: str | None = None) -> list[Attempt]:
        return [attempt for attempt in self.kept if run in (None, attempt.run)]

    def workers(self) -> list[Worker]:
        return self.kept_workers

    def samples(self, run: str | None = None) -> list[Sample]:
        del run
        return self.kept_samples

    def actions(self) -> list[Action]:
        return self.kept_actions

    def gaps(self) -> list[Gap]:
        return self.kept_gaps


def dispatched(mode: str, messages: tuple[tuple[str, float], ...] = MESSAGES, *, nodes: int = 2) -> Kept:
    """The attempts of messages that are sent at once, to each worker in turn or to the one that is free."""
    workers = [f"{mode}-{number}@host" for number in range(1, nodes + 1)]
    free = dict.fromkeys(workers, BEGAN)
    attempts = []
    for number, (text, runtime_s) in enumerate(messages):
        by_turns = mode == "round-robin"
        worker = workers[number % nodes] if by_turns else min(free, key=lambda name: free[name])
        started = free[worker]
        free[worker] = started + runtime_s
        attempts.append(
            Attempt(
                task_id=f"{mode}-{number}",
                state="succeeded",
                name="theirs.work",
                queue=f"queue.{mode}",
                worker=worker,
                arguments=f"('{text}',)",
                sent=BEGAN,
                received=BEGAN if by_turns else started,
                started=started,
                finished=free[worker],
                runtime_s=runtime_s,
                run=mode,
            )
        )
    return Kept(
        kept_runs=[Run(name=mode, dispatch=mode, began=BEGAN, settings={"seed": 7}, machine={"host": "lab"})],
        kept=attempts,
        kept_workers=[Worker(name=name, slots=1, queues=(f"queue.{mode}",), dispatch=mode) for name in workers],
    )


def both() -> Kept:
    one, other = dispatched("round-robin"), dispatched("fair")
    return Kept(
        kept_runs=one.kept_runs + other.kept_runs,
        kept=one.kept + other.kept,
        kept_workers=one.kept_workers + other.kept_workers,
    )
