"""Which of a broker's addresses let a client in, for a sentence where the broker does not do what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kombu

if TYPE_CHECKING:
    from kombu import Connection

#: Seconds for which one address is tried.
_TIMEOUT_S = 2.0


def answering(connection: Connection) -> str:
    """The sentence which of the connection's addresses let a client in, and which do not; each is tried now."""
    urls = connection.alt or [connection.as_uri(include_password=True)]
    answers = {_address(url): _lets_in(url, connection) for url in urls}
    there = [address for address, is_there in answers.items() if is_there]
    away = [address for address, is_there in answers.items() if not is_there]
    if not there:
        return f"{_listed(away)} {_does(away)} not answer."
    if not away:
        return f"{_listed(there)} {'lets' if len(there) == 1 else 'let'} clients in."
    return (
        f"{_listed(there)} {'lets' if len(there) == 1 else 'let'} clients in; {_listed(away)} {_does(away)} not answer."
    )


def _address(url: str) -> str:
    at = kombu.Connection(url)
    return f"{at.hostname}:{at.port}" if at.port else str(at.hostname)


def _lets_in(url: str, like: Connection) -> bool:
    options = {**(like.transport_options or {}), "read_timeout": _TIMEOUT_S}
    tried = kombu.Connection(url, ssl=like.ssl or False, connect_timeout=_TIMEOUT_S, transport_options=options)
    try:
        tried.connect()
    except tried.connection_errors + tried.channel_errors:
        return False
    else:
        return True
    finally:
        tried.collect()


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _does(names: list[str]) -> str:
    return "does" if len(names) == 1 else "do"
