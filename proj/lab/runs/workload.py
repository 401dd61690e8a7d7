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

#: Dots of a heavy message and of a light one: far enough apart that the heavy half is nearly all the work.
HEAVY_DOTS, LIGHT_DOTS = 20, 1
#: One message in so many is heavy in `rare_heavy`.
RARITY = 10
#: Median dots, and the spread of their logarithm, in `heavy_tailed`: one message in a hundred weighs sixteen medians.
MEDIAN_DOTS, SIGMA = 3.0, 1.2
#: Messages a burst in `bursts`, and the dots between the beginnings of two bursts.
BURST_MESSAGES, BURST_GAP_DOTS = 10, 30
#: Dots of an ordinary message where a workload says nothing else, least and most.
USUAL_DOTS = (1, 5)
#: Dots until a delayed message of `eta_mix` is due, least and most.
ETA_DOTS = (10, 30)

#: A workload that is read from a file is named by this and the path.
FILE_PREFIX = "file:"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message; times are in dots, so that a workload is the same however long a dot takes."""

    text: str
    #: When it is sent, in dots after the first.
    sent_dots: float = 0.0
    #: When it is due, in dots after it is sent; None for one that is due at once.
    due_dots: float | None = None


def workload(name: str, *, seed: int, count: int | None = None) -> list[Message]:
    """The messages of the named workload, or of `file:PATH`, in the order in which they are sent.

    Args:
        name: one of `WORKLOADS`, or `file:` and the path of a file with one message a line.
        seed: the same seed gives the same messages.
        count: how many, instead of the workload's usual number; a given list begins again when it is too short.

    Raises:
        InvalidSetting: there is no such workload, or no message in the file.
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
    """The numbered messages of the oldest tutorial, at the moment of its example; each is one dot of work."""
    return _at_once(f"{number} 2014-04-22 00:10:16.946810 - Basic - Hello World" for number in range(count))


def rare_heavy(count: int, rng: random.Random) -> list[Message]:
    """One message in ten is heavy, somewhere: the few reports between many clicks."""
    heavy = set(rng.sample(range(1, count + 1), k=math.ceil(count / RARITY)))
    return _at_once(_heavy(number) if number in heavy else _light(number) for number in range(1, count + 1))


def heavy_tailed(count: int, rng: random.Random) -> list[Message]:
    """Lognormal weights: most are small, and the few largest are most of the work."""
    return _at_once(
        f"message {number}" + DOT * max(1, round(rng.lognormvariate(math.log(MEDIAN_DOTS), SIGMA)))
        for number in range(1, count + 1)
    )


def bursts(count: int, rng: random.Random) -> list[Message]:
    """Ten messages at once, and the next ten when these ought to be done."""
    return [
        Message(text=_usual(number, rng), sent_dots=float((number - 1) // BURST_MESSAGES * BURST_GAP_DOTS))
        for number in range(1, count + 1)
    ]


def eta_mix(count: int, rng: random.Random) -> list[Message]:
    """Every other message is due only later."""
    return [
        Message(text=_usual(number, rng), due_dots=None if number % 2 else float(rng.randint(*ETA_DOTS)))
        for number in range(1, count + 1)
    ]


def _odd_heavy(count: int, _: random.Random) -> list[Message]:
    return _at_once(odd_heavy(count))


#: What makes the messages, and how many there usually are.
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
