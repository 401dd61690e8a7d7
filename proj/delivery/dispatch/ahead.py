"""How many messages a worker asks for beyond its slots."""

from __future__ import annotations

from collections import deque

#: Messages beyond the slots at most, whatever the tasks' durations.
MOST = 256
#: The share of the budget that the held messages may take until all of them have begun, by the mean duration of a task.
#: Below 1, because the tasks that come next may be longer than the mean.
SHARE = 0.5
#: The weight of the last task in the mean duration.
WEIGHT = 1 / 8
#: Seconds of tasks that are measured together, at least. The worker learns of several ends at a time, and a task seems
#: to take no time when the end of the one before was read with its own.
MEASURED_S = 0.001
#: Tasks that are measured together, at most.
MEASURED = 16
#: Waits of a slot that tell the round trip.
_ROUND_TRIPS = 8


class Ahead:
    """Grows while slots wait for the broker, and starts again at none after a message had to be given back.

    This is the slow start of TCP: a slot that waited for a message says that the round trip is not hidden yet, and a
    message given back says that too many were held. Half of them was not too many, if no task was long, so it grows to
    that at once (TCP's `ssthresh`). Source: RFC 5681, section 3.1.
    """

    def __init__(self, budget_s: float) -> None:
        """Hold messages for `budget_s` seconds at most."""
        self._budget_s = budget_s
        self._grown = 0
        #: What it grows to at once.
        self._safe = 0
        #: What the last waits of a slot say of the round trip, in seconds. The least is taken, because a slot may also
        #: have waited for a message that nobody had published yet.
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
        #: For how long the messages that were asked for last keep the slots busy.
        self._covered_s = 0.0
        #: The mean duration of a task in its slot, in seconds; None before the first has ended.
        self.mean_s: float | None = None
        #: The tasks that are not in it yet, and their duration.
        self._count = 0
        self._sum_s = 0.0

    def ended(self, seconds: float) -> None:
        """A task had a slot for so many seconds."""
        self._count += 1
        self._sum_s += seconds
        if self.mean_s is None:
            self.mean_s = self._sum_s
        elif self._count < MEASURED and self._sum_s < MEASURED_S:
            return
        else:
            self.mean_s += (1 - (1 - WEIGHT) ** self._count) * (self._sum_s / self._count - self.mean_s)
        self._count, self._sum_s = 0, 0.0

    def waited(self, seconds: float) -> None:
        """A slot was free for so long, and then came the next message, within the budget: it was on its way."""
        # It was asked for when the messages that the worker had in advance were not run yet.
        self._round_trips.append(seconds + self._covered_s)
        self._grown = min(MOST, max(1, self._safe, 2 * self._grown))

    def gave_back(self, *, behind_long: bool) -> None:
        """Held messages had to be given back; `behind_long` when a task had its slot for longer than the budget."""
        self._safe = 0 if behind_long else max(self._grown, self._safe) // 2
        self._grown = 0

    def count(self, slots: int) -> int:
        """The messages to ask for beyond those for the slots, of which `slots` have no long task; 0 is fair dispatch.

        As many as are on their way for a round trip, and as can be run in a share of the budget after that. It is a
        power of two, or 0, because every change costs the broker a new consumer.
        """
        if self.mean_s is None:
            return 0
        round_trip_s = min(self._round_trips, default=0.0)
        # A clock that ticks seldom may tell 0.
        most = int((SHARE * self._budget_s + round_trip_s) * slots / max(self.mean_s, 1e-6))
        most = min(most, self._grown, MOST)
        asked = 1 << (most.bit_length() - 1) if most else 0
        self._covered_s = asked * self.mean_s / slots if asked else 0.0
        return asked
