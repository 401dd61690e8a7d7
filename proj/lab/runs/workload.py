"""Workloads: the messages of a run, when each is sent and when it is due."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proj.dots import DOT, weigh
from proj.errors import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Dots of a heavy message and of a light one; the heavy half of the messages is nearly all the work.
HEAVY_DOTS, LIGHT_DOTS = 20, 1
#: In `rare_heavy` one message in so many is heavy.
RARITY = 10
#: Median of the dots, and standard deviation of their logarithm, in `heavy_tailed`: 1 % weigh 16 medians or more.
MEDIAN_DOTS, SIGMA = 3.0, 1.2
#: Messages of each burst in `bursts`, and dots from the beginning of one burst to the next.
BURST_MESSAGES, BURST_GAP_DOTS = 10, 30
#: Least and most dots of an ordinary message.
USUAL_DOTS = (1, 5)
#: Least and most dots of delay of a delayed message in `eta_mix`.
ETA_DOTS = (10, 30)

#: The name of a workload from a file is this and the path.
FILE_PREFIX = "file:"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message; times are in dots, so a workload does not depend on the seconds of a dot."""

    text: str
    #: When it is sent, in dots after the first message.
    sent_dots: float = 0.0
    #: When its task may start, in dots after it is sent; None for at once.
    due_dots: float | None = None


def workload(name: str, *, seed: int, count: int | None = None) -> list[Message]:
    """The messages of the named workload, or of `file:PATH`, in the order in which they are sent.

    Args:
        name: one of `WORKLOADS`, or `file:` and the path of a file with one message a line.
        seed: the same seed gives the same messages.
        count: how many messages, instead of the workload's own number. A fixed list repeats when it is shorter.

    Raises:
        InvalidSetting: there is no such workload, or the file has no message or cannot be read.
    """
    if name.startswith(FILE_PREFIX):
        return _repeated(_lines(Path(name.removeprefix(FILE_PREFIX))), count)
    if name not in _CATALOGUE:
        raise InvalidSetting("--workload", name, f"one of {', '.join(WORKLOADS)}, or file:PATH")
    build, usual_count = _CATALOGUE[name]
    return build(usual_count if count is None else count, random.Random(seed))  # noqa: S311 the seed repeats it


def odd_heavy(count: int) -> list[str]:
    """RabbitMQ's own example: "all odd messages are heavy and even messages are light".

    Source: https://www.rabbitmq.com/tutorials/tutorial-two-python#fair-dispatch
    """
    return [_heavy(number) if number % 2 else _light(number) for number in range(1, count + 1)]


def is_light(message: str) -> bool:
    """Whether a message of `odd_heavy` is one of the light ones."""
    return weigh(message) == LIGHT_DOTS


def tutorial_five(count: int, _: random.Random) -> list[Message]:
    """The tutorials' five messages, of one dot to five."""
    words = ("First", "Second", "Third", "Fourth", "Fifth")
    return _repeated([f"{word} message" + DOT * dots for dots, word in enumerate(words, start=1)], count)


def fifteen_numbered(count: int, _: random.Random) -> list[Message]:
    """The numbered messages of the oldest tutorial, with the time stamp of its example; each is one dot of work."""
    return _at_once(f"{number} 2014-04-22 00:10:16.946810 - Basic - Hello World" for number in range(count))


def rare_heavy(count: int, rng: random.Random) -> list[Message]:
    """One message in ten is heavy, at a random place."""
    heavy = set(rng.sample(range(1, count + 1), k=math.ceil(count / RARITY)))
    return _at_once(_heavy(number) if number in heavy else _light(number) for number in range(1, count + 1))


def heavy_tailed(count: int, rng: random.Random) -> list[Message]:
    """Lognormal weights: most messages are light, and the few heaviest are most of the work."""
    return _at_once(
        f"message {number}" + DOT * max(1, round(rng.lognormvariate(math.log(MEDIAN_DOTS), SIGMA)))
        for number in range(1, count + 1)
    )


def bursts(count: int, rng: random.Random) -> list[Message]:
    """Ten messages at once, and ten more every `BURST_GAP_DOTS`."""
    return [
        Message(text=_usual(number, rng), sent_dots=float((number - 1) // BURST_MESSAGES * BURST_GAP_DOTS))
        for number in range(1, count + 1)
    ]


def eta_mix(count: int, rng: random.Random) -> list[Message]:
    """Every second message has a delay."""
    return [
        Message(text=_usual(number, rng), due_dots=None if number % 2 else float(rng.randint(*ETA_DOTS)))
        for number in range(1, count + 1)
    ]


def _odd_heavy(count: int, _: random.Random) -> list[Message]:
    return _at_once(odd_heavy(count))


#: For each workload the function that makes it, and its own number of messages.
_CATALOGUE: dict[str, tuple[Callable[[int, random.Random], list[Message]], int]] = {
    "tutorial-five": (tutorial_five, 5),
    "fifteen-numbered": (fifteen_numbered, 15),
    "odd-heavy": (_odd_heavy, 20),
    "rare-heavy": (rare_heavy, 40),
    "heavy-tailed": (heavy_tailed, 40),
    "bursts": (bursts, 40),
    "eta-mix": (eta_mix, 20),
}
WORKLOADS = tuple(_CATALOGUE)


def _heavy(number: int) -> str:
    return f"heavy {number}" + DOT * HEAVY_DOTS


def _light(number: int) -> str:
    return f"light {number}" + DOT * LIGHT_DOTS


def _usual(number: int, rng: random.Random) -> str:
    return f"message {number}" + DOT * rng.randint(*USUAL_DOTS)


def _at_once(texts: Iterable[str]) -> list[Message]:
    return [Message(text=text) for text in texts]


def _repeated(texts: list[str], count: int | None) -> list[Message]:
    return _at_once(texts if count is None else itertools.islice(itertools.cycle(texts), count))


def _lines(path: Path) -> list[str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSetting("--workload", f"{FILE_PREFIX}{path}", f"a text file that can be read ({error})") from error
    if not lines:
        raise InvalidSetting("--workload", f"{FILE_PREFIX}{path}", "a file with one message a line; it has none")
    return lines
