"""A worker that cannot start."""

from __future__ import annotations

import time

import pytest
from pytest_docker_tools.exceptions import ContainerFailed

pytestmark = pytest.mark.one_version

#: Seconds until the failure must be known, also on a busy machine; pytest-celery by itself takes 120.
FAST_S = 60.0


@pytest.mark.usefixtures("dot_seconds")
@pytest.mark.parametrize("dot_seconds", ["nonsense"])
def test_a_worker_that_dies_at_its_start_fails_the_test_at_once(request: pytest.FixtureRequest) -> None:
    """A wrong setting is an error within seconds, not a timeout after two minutes."""
    request.getfixturevalue("default_rabbitmq_broker")
    begun = time.monotonic()

    with pytest.raises(ContainerFailed, match="has already exited"):
        request.getfixturevalue("default_worker_container")

    assert time.monotonic() - begun < FAST_S
