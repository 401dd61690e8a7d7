"""The host names under which the dashboard answers."""

from __future__ import annotations

import pytest

from proj.dashboard.web.allowed_hosts import allowed_names, host_name, is_allowed
from proj.errors import InvalidSetting


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("localhost:5555", "localhost"),
        ("LocalHost.:80", "localhost"),
        ("flower.example.com.", "flower.example.com"),
        ("127.0.0.1:5555", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::1]:5555", "::1"),
        ("[0:0:0:0:0:0:0:1]:5555", "::1"),
        ("flower_1", "flower_1"),
        ("x:", "x"),
        ("::1", None),
        ("[localhost]", None),
        ("[::1", None),
        ("[1.2.3]", None),
        ("local host", None),
        ("localhost, evil", None),
        ("user@localhost", None),
        ("localhost/evil", None),
        ("localhost:80:80", None),
        ("localhost:http", None),
        ("..", None),
        ("", None),
        (None, None),
    ],
)
def test_host_header_is_read_in_every_spelling(header: str | None, name: str | None) -> None:
    """Case, port, trailing dot and the spelling of an IPv6 address make no difference."""
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("address", "host", "allowed"),
    [
        ("127.0.0.1", "localhost:5555", True),
        ("", "localhost", True),
        ("0.0.0.0", "0.0.0.0", False),  # noqa: S104 compared, not listened on
        ("::", "[::]", False),
        ("192.0.2.7", "192.0.2.7:5555", True),
        ("192.0.2.7", "192.0.2.8:5555", False),
        ("2001:db8::7", "[2001:DB8:0::7]:5555", True),
        ("monitor.example", "Monitor.Example", True),
        ("127.0.0.1", "localhost.evil.example", False),
    ],
)
def test_dashboard_answers_under_loopback_names_and_its_own_address(address: str, host: str, *, allowed: bool) -> None:
    """0.0.0.0 and :: stand for every address, and are not allowed names."""
    assert is_allowed(host, allowed_names(address, [])) is allowed


def test_allowed_names_may_be_given_as_in_a_header() -> None:
    """With a port, with spaces between, and IPv6 addresses with or without brackets."""
    names = allowed_names("", ["Flower:5555", " other.example ", "[2001:db8::1]", "2001:db8::2", ""])

    assert {"flower", "other.example", "2001:db8::1", "2001:db8::2"} < names


@pytest.mark.parametrize("text", ["http://flower", "flower/path", "*.example.com", "a b"])
def test_allowed_name_that_could_never_match_is_refused(text: str) -> None:
    """The user learns it at the start, and not from a 421."""
    with pytest.raises(InvalidSetting, match="allowed_hosts"):
        allowed_names("", [text])


@pytest.mark.parametrize("host", ["anything.example", "", None])
def test_star_allows_any_name(host: str | None) -> None:
    """For a dashboard behind a proxy that checks host names itself."""
    assert is_allowed(host, allowed_names("", ["*"]))
