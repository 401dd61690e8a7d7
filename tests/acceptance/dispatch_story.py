"""The page's data of an invented comparison of the three dispatch modes, computed from a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.journal.attempt import Attempt
from proj.journal.reader import open_journal
from proj.journal.records import Run, Worker
from proj.journal.writer import JournalWriter
from proj.report.document import document

if TYPE_CHECKING:
    from pathlib import Path

BEGAN = 1_790_000_000.0
MODES = ("round-robin", "fair", "adaptive")
#: In each mode: the window of a worker, and its consumers of the queue.
WINDOWS = {"round-robin": (0, 1), "fair": (1, 1), "adaptive": (8, 3)}


def compared(folder: Path, *, messages: int = 12, workers: int = 2) -> dict[str, Any]:
    """The data of three modes with `workers` workers each; every other message is heavy."""
    path = folder / f"{messages}.sqlite"
    names = {mode: f"queue.{mode} · {mode}" for mode in MODES}
    with JournalWriter(path) as writer:
        for mode in MODES:
            free = {f"{mode}-{number}@host": BEGAN for number in range(1, workers + 1)}
            attempts = []
            for number in range(messages):
                turn = list(free)[number % workers] if mode == "round-robin" else min(free, key=lambda one: free[one])
                started = free[turn]
                free[turn] += 2.0 if number % 2 == 0 else 0.1
                last = mode == "round-robin" and number == messages - 2
                attempts.append(
                    Attempt(
                        task_id=f"{mode}-{number}",
                        state="started" if last else "succeeded",
                        name="<img src=x onerror=alert(1)>" if number == 1 else "theirs.work",
                        queue=f"queue.{mode}",
                        worker=turn,
                        arguments="('secret',)",
                        sent=BEGAN,
                        received=BEGAN if mode == "round-robin" else started,
                        started=started,
                        finished=None if last else free[turn],
                        runtime_s=None if last else free[turn] - started,
                        run=names[mode],
                    )
                )
            writer.add_run(Run(name=names[mode], dispatch=mode, began=BEGAN + MODES.index(mode)))
            writer.put_workers(Worker(name=name, slots=1, queues=(f"queue.{mode}",), dispatch=mode) for name in free)
            writer.put_attempts(attempts)
        writer.commit()
    with open_journal(path) as journal:
        report = document(journal, title="live", arguments=False)
    report["runs"][0]["live"] = True
    report["notes"] = ["Workers' clocks agree with the recorder's within 1 ms."]
    return {
        "format": "proj-dispatch",
        "version": 1,
        "generation": "1",
        "as_of": BEGAN,
        "took_s": 0.01,
        "source": "live",
        "journal": None,
        "runs": [
            {
                "name": "2026-09-21 14:13:20",
                "began": BEGAN,
                "ended": None,
                "attempts": len(MODES) * messages,
                "marked": False,
            },
            {"name": "warm-up", "began": BEGAN - 60, "ended": BEGAN - 50, "attempts": 4, "marked": True},
        ],
        "run": "2026-09-21 14:13:20",
        "open": True,
        "kept": {"attempts": len(MODES) * messages, "of": len(MODES) * messages},
        "groups": [
            {
                "name": names[mode],
                "queue": f"queue.{mode}",
                "dispatch": mode,
                "workers": [
                    {
                        "name": f"{mode}-{number}@host",
                        "slots": 1,
                        "busy_slots": int(mode == "round-robin" and number == 1),
                        "held": 0,
                        "tasks": messages // workers,
                        "busy_s": 6.3,
                        "alive": None if number == 2 else True,
                        "window": WINDOWS[mode][0] if mode == "adaptive" else None,
                        "in_advance": 0 if mode == "adaptive" else None,
                        "given_back": 0 if mode == "adaptive" else None,
                    }
                    for number in range(1, workers + 1)
                ],
                "slots": workers,
                "busy_slots": int(mode == "round-robin"),
                "held": 0,
                "tasks": messages,
                "busy_s": 12.6,
                "in_advance": 0,
            }
            for mode in MODES
        ],
        "queues": [
            {
                "queue": f"queue.{mode}",
                "type": "quorum",
                "broker": {
                    "ready": 0,
                    "unacknowledged": 0,
                    "consumers": workers * WINDOWS[mode][1],
                    "windows": [
                        {
                            "window": WINDOWS[mode][0],
                            "channels": workers,
                            "consumers": workers * WINDOWS[mode][1],
                            "acknowledges": True,
                        }
                    ],
                    "age_s": 0.3,
                },
                "events": {"ready": 0, "unacknowledged": int(mode == "round-robin")},
                "explanation": "Workers acknowledge before they work." if mode == "round-robin" else None,
            }
            for mode in MODES
        ],
        "events": {"heard": 96, "refused": 0, "dropped": 0, "lost": 0, "lost_by_worker": []},
        "notes": [],
        "report": report,
    }
