"""Error message: what a handler says of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tornado.web import HTTPError

if TYPE_CHECKING:
    from collections.abc import Mapping


def message_of(details: Mapping[str, object]) -> str | None:
    """The message of the `HTTPError` in what Tornado gives `write_error`; None for any other error."""
    given = details.get("exc_info")
    error = given[1] if isinstance(given, tuple) else None
    return error.get_message() if isinstance(error, HTTPError) else None
