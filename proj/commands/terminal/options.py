"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proj.environment import refuse_misspelt

if TYPE_CHECKING:
    from collections.abc import Callable

broker_api_option = click.option(
    "--broker-api",
    envvar="FLOWER_BROKER_API",
    show_envvar=True,
    help="URL of the management API, such as http://user:password@localhost:15672/api/.  "
    "[default: the broker's host and credentials, port 15672]",
)

#: Seconds of a month: no command waits longer, and no system call takes infinity.
LONGEST_S = 31 * 24 * 3600


class Seconds(click.FloatRange):
    """A number of seconds in a range; click's own type takes infinity where there is no maximum, and always NaN."""

    def __init__(self, min: float, max: float = LONGEST_S) -> None:  # noqa: A002 click's own names
        """Take the range."""
        super().__init__(min=min, max=max)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 as click's own
        """The number, or an error that names the range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


def _checking_variables(_ctx: click.Context, _param: click.Parameter, version: str | None) -> str | None:
    refuse_misspelt()
    return version


rabbitmq_version_option = click.option(
    "--version",
    callback=_checking_variables,
    envvar="PROJ_RABBITMQ",
    show_envvar=True,
    metavar="VERSION",
    help="The RabbitMQ to start, such as 4.3; a checkout's `scripts/brokers` unpacks it.  [default: the machine's own]",
)

#: Each node takes about 100 MB.
nodes_option = click.option(
    "--nodes",
    type=click.IntRange(1, 7),
    default=1,
    show_default=True,
    help="Nodes of the broker: with 3, a cluster whose quorum queues survive the loss of one node.",
)

queue_type_option = click.option(
    "--queue-type",
    type=click.Choice(["quorum", "classic"]),
    envvar="PROJ_QUEUE_TYPE",
    show_envvar=True,
    default="quorum",
    show_default=True,
    help="Type of queue.",
)

#: The dispatch modes of our own app, as `PROJ_DISPATCH` takes them.
DISPATCH_MODES = ("round-robin", "fair", "adaptive")
#: The one that `PROJ_DISPATCH` is without a value.
DEFAULT_DISPATCH = "adaptive"


def dot_seconds_option(default: float, more: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--dot-seconds`, with this default and further help."""
    return click.option(
        "--dot-seconds",
        type=Seconds(min=0.001, max=3600),
        default=default,
        show_default=True,
        help=f"Seconds of work for each dot{more}.",
    )


def dispatch_option(
    name: str = "dispatch", *, multiple: bool = False, more: str = "."
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--dispatch`, as the parameter `name`, with further help; the default is that of our own app."""
    return click.option(
        "--dispatch",
        name,
        type=click.Choice(DISPATCH_MODES),
        multiple=multiple,
        default=(DEFAULT_DISPATCH,) if multiple else DEFAULT_DISPATCH,
        show_default=DEFAULT_DISPATCH if multiple else True,
        help=f"Dispatch mode{more}",
    )


#: `--journal`, into which a command writes who did what.
action_journal_option = click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write who did this, when and to how many into this journal, also while it is being recorded.",
)


def journal_option(*, required: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-o`, the journal that a run is written into."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        required=required,
        help="The journal to write; an existing journal gets further runs."
        + ("" if required else "  [default: none is kept]"),
    )
