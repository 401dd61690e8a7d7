"""Under which names the dashboard answers, so that no web page reaches it by a name of its own (DNS rebinding)."""

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
    "This dashboard does not answer under this name. If the name is yours, allow it: --allowed_hosts=NAME (several "
    "with commas), or FLOWER_ALLOWED_HOSTS in the environment. That goes for /metrics and /healthcheck too: a "
    "Prometheus that scrapes flower:5555 needs --allowed_hosts=flower.\n"
)


def bare(host: str | None) -> str | None:
    """The name or address in a Host header, without its port, in one spelling; None for what is none."""
    found = _HOST.fullmatch((host or "").lower())
    if found is None:
        return None
    name = found["v6"] or found["name"]
    try:
        # One spelling of an address that has many: 0:0:0:0:0:0:0:1 is ::1.
        return str(ip_address(name))
    except ValueError:
        return name if found["name"] else None


def allowed_names(address: str, extra: Iterable[str]) -> frozenset[str]:
    """The names under which the dashboard answers: loopback's, that of `address`, and the `extra` ones.

    Raises:
        InvalidSetting: an extra one is not a name, with or without a port.
    """
    names = set(LOOPBACK)
    own = bare(f"[{address}]" if ":" in address else address)
    if own is not None and own not in {"0.0.0.0", "::"}:  # noqa: S104 compared, not listened on
        names.add(own)
    for text in filter(None, (text.strip() for text in extra)):
        name = ANY if text == ANY else bare(text) or bare(f"[{text}]")
        if name is None:
            raise InvalidSetting("--allowed_hosts", text, f"names without http:// and path, or {ANY} for any")
        names.add(name)
    return frozenset(names)


def is_allowed(host: str | None, names: frozenset[str]) -> bool:
    """Whether a request with this Host header is answered; one without is not, unless any is."""
    return ANY in names or bare(host) in names
