"""How many messages a worker asks for beyond its slots."""

from __future__ import annotations

import math
from collections import deque

#: Messages beyond the slots at most, whatever the tasks' durations.
MOST = 256
#: The share of the budget that the held messages may take until all of them have begun, by the mean duration of a task.
#: Below 1, because the tasks that come next may be longer than the mean.
SHARE = 0.5
#: The weight of the last task in the mean duration.
WEIGHT = 1 / 8
#: The share of the budget after which a held message says that too many are held, before any has to be given back.
LATE_SHARE = 0.6
#: As long as so large a share of what was asked for last would be right, it is not changed.
STAY_SHARE = 0.75
#: Seconds of tasks that are measured together, at least. The worker learns of several ends at a time, and a task seems
#: to take no time when the end of the one before was read with its own.
MEASURED_S = 0.01
#: Tasks that are measured together, at most.
MEASURED = 64
#: Answers of the broker that tell the round trip.
_ROUND_TRIPS = 8


class Ahead:
    """Grows while slots wait for the broker, is halved when messages are held for long, and starts again at none.

    The growth is the slow start of TCP: a slot that waited for a message says that the round trip is not hidden yet,
    and a message given back says that too many were held. Half of them was not too many, if no task was long, so it
    grows to that at once (TCP's `ssthresh`). Source: RFC 5681, section 3.1.

    The worker's main process may be slower than its slots, or have no processor. The durations of tasks tell only a
    part of that, but the time for which messages are held tells all of it, before the budget is over. This is TCP
    Vegas, which looks at the round trip and does not wait for a loss. Source: L. Brakmo and L. Peterson, TCP Vegas:
    End to End Congestion Avoidance on a Global Internet, IEEE Journal on Selected Areas in Communications 13(8), 1995.
    """

    def __init__(self, budget_s: float) -> None:
        """Hold messages for `budget_s` seconds at most."""
        self._budget_s = budget_s
        self._grown = 0
        #: What it grows to at once.
        self._safe = 0
        #: What was asked for last.
        self._asked = 0
        #: When it was halved.
        self._halved_at = -math.inf
        #: The last round trips, in seconds. The least is taken, because the worker may have had no time to read an
        #: answer, and a message may have come that nobody had published before.
        self._round_trips: deque[float] = deque(maxlen=_ROUND_TRIPS)
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

    def answered(self, seconds: float) -> None:
        """The next message came so long after the broker was told that it may send more."""
        if seconds < self._budget_s:
            self._round_trips.append(seconds)

    def waited(self) -> None:
        """A slot was free for less than the budget, and then came the next message: it was on its way."""
        # Twice what was asked for: a window that was not used tells nothing of a larger one (RFC 7661).
        self._grown = min(MOST, max(1, self._safe, 2 * self._asked))

    def held_long(self, now: float) -> None:
        """A message is held for longer than `LATE_SHARE` of the budget; the window is halved, at most once a budget."""
        # At none it stays: free slots alone are asked for until one has waited.
        if self._grown and now >= self._halved_at + self._budget_s:
            self._halved_at = now
            self._grown = max(1, min(self._grown, self._asked) // 2)

    def gave_back(self, *, behind_long: bool) -> None:
        """Held messages had to be given back; `behind_long` when a task had its slot for longer than the budget."""
        self._safe = 0 if behind_long else self._asked // 2
        self._grown = self._asked = 0

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
        if not STAY_SHARE * self._asked <= most < 2 * self._asked:
            self._asked = 1 << (most.bit_length() - 1) if most else 0
        return self._asked
