"""The management API's address."""

from __future__ import annotations

import pytest

from proj.broker.management_api import Management
from proj.errors import InvalidSetting


def test_page_is_the_address_without_the_password() -> None:
    """Commands print it."""
    assert Management("http://me:secret@host:1234/api/").page == "http://host:1234/"


def test_api_beside_a_broker_is_on_the_usual_port_with_any_password() -> None:
    """Characters that have a meaning in a URL are quoted."""
    assert Management.beside(hostname="host", userid="me", password="a:b@c/d").page == "http://host:15672/"


@pytest.mark.parametrize("url", ["host:15672", "ftp://host", "", "http://"])
def test_address_that_is_no_http_url_is_refused_with_an_example(url: str) -> None:
    """The error shows what such a URL looks like."""
    with pytest.raises(InvalidSetting, match="http://user:password@localhost:15672/api/"):
        Management(url)
