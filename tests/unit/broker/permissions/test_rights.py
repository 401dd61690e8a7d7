"""Which right a user lacks, from what RabbitMQ says."""

from __future__ import annotations

import pytest
from amqp.exceptions import AccessRefused, NotFound

from proj.broker.permissions.rights import missing_right

DEFAULT = (
    "the user 'w' may not write to the default exchange in the virtual host 'v' "
    "(the permission 'write' on 'amq.default')"
)


@pytest.mark.parametrize(
    ("text", "method", "sentence"),
    [
        (
            "ACCESS_REFUSED - write access to exchange 'tasks' in vhost '/' refused for user 'web'",
            "Basic.publish",
            "the user 'web' may not write to the exchange 'tasks' (the permission 'write' on 'tasks')",
        ),
        (
            "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost 'v' refused for user 'w'",
            "Basic.publish",
            DEFAULT,
        ),
        (
            "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'",
            "Basic.consume",
            "the user 'u' may not read the queue 'q' (the permission 'read' on 'q')",
        ),
        (
            "ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'",
            "Queue.bind",
            "the user 'u' may not read the exchange 'e' (the permission 'read' on 'e')",
        ),
        (
            "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'",
            "Queue.declare",
            "the user 'u' may not make or delete the queue 'q' (the permission 'configure' on 'q')",
        ),
        (
            "ACCESS_REFUSED - configure access to queue 'q' in vhost 'a very long...",
            "Queue.declare",
            "this user may not make or delete the queue 'q' (the permission 'configure' on 'q')",
        ),
    ],
)
def test_right_is_named_with_what_it_is_on(text: str, method: str, sentence: str) -> None:
    """RabbitMQ before 3.12 does not name the right, and AMQP cuts a long text."""
    right = missing_right(AccessRefused(text, (0, 0), method))

    assert right is not None
    assert right.sentence == sentence


@pytest.mark.parametrize(
    "error",
    [
        NotFound("NOT_FOUND - no queue 'q' in vhost '/'", (50, 10), "Queue.declare"),
        AccessRefused("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", (0, 0)),
        OSError("gone"),
    ],
)
def test_other_errors_name_no_right(error: Exception) -> None:
    """Among them a refused login."""
    assert missing_right(error) is None
