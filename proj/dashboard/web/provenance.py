"""Provenance: a request that changes something must say which page it comes from, because browsers send passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Methods that change nothing.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

REFUSED = (
    "A request that changes something must say where it comes from, so that no other page can send it with your "
    "password. Browsers do. In a script add the header Origin with this dashboard's address, such as "
    "Origin: http://localhost:5555\n"
)


def says_where_it_comes_from(method: str, headers: Mapping[str, str]) -> bool:
    """Whether Flower can compare where a request comes from, or need not: it changes nothing, or has no credentials.

    A browser adds Basic credentials and cookies to the requests of any page, and a token only to those of its own.
    Source: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    if method in _SAFE or headers.get("Origin") or headers.get("Sec-Fetch-Site"):
        return True
    return not ("Cookie" in headers or headers.get("Authorization", "").lower().startswith("basic"))
