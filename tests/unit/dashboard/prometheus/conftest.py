"""A collector for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.dashboard.prometheus.scraping import Scraped

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    """What Prometheus reads, with nothing left in the registry afterwards."""
    scraped = Scraped()
    scraped.collector.register()
    yield scraped
    scraped.collector.unregister()
