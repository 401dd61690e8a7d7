"""Allowed hosts: the host names under which the dashboard answers, as a protection against DNS rebinding."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from proj.errors import InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Allows every name.
ANY = "*"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: A name or IPv4 address, or an IPv6 address in brackets; with or without a port. RFC 9110, section 7.2.
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?)\.?)(?::\d{0,5})?")

REFUSED = (
    "This dashboard does not answer under this host name. If the name is yours, allow it with --allowed_hosts=NAME "
    "(separate several by commas) or with FLOWER_ALLOWED_HOSTS in the environment. This also holds for /metrics and "
    "/healthcheck: a Prometheus that scrapes flower:5555 needs --allowed_hosts=flower.\n"
)


def host_name(host: str | None) -> str | None:
    """The name or address in a Host header, without the port, in one spelling; None if the header is malformed."""
    found = _HOST.fullmatch((host or "").lower())
    if found is None:
        return None
    name = found["v6"] or found["name"]
    try:
        # An address has many spellings: 0:0:0:0:0:0:0:1 is ::1.
        return str(ip_address(name))
    except ValueError:
        return name if found["name"] else None


def allowed_names(address: str, extra: Iterable[str]) -> frozenset[str]:
    """The names under which the dashboard answers: those of loopback, the listening `address`, and the `extra` ones.

    Raises:
        InvalidSetting: an extra one is not a name, with or without a port.
    """
    names = set(LOOPBACK)
    own = host_name(f"[{address}]" if ":" in address else address)
    if own is not None and not _is_every_address(own):
        names.add(own)
    for text in filter(None, (text.strip() for text in extra)):
        name = ANY if text == ANY else host_name(text) or host_name(f"[{text}]")
        if name is None:
            raise InvalidSetting("--allowed_hosts", text, f"host names without http:// and path, or {ANY} for any")
        names.add(name)
    return frozenset(names)


def is_allowed(host: str | None, names: frozenset[str]) -> bool:
    """Whether a request with this Host header is answered; one without the header only if any name is allowed."""
    return ANY in names or host_name(host) in names


def _is_every_address(name: str) -> bool:
    """Whether it is the address that stands for all of the machine, such as 0.0.0.0."""
    try:
        return ip_address(name).is_unspecified
    except ValueError:
        return False
