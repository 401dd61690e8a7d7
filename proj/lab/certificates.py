"""Certificates of a private broker: a CA of its own, and one certificate each for its nodes and for its clients."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from proj.errors import MissingProgram

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

#: With `server` clients can know the broker by its certificate; with `mutual` the broker demands one of them too.
Tls = Literal["server", "mutual"]
#: What the nodes are called on loopback.
NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificates:
    """Files of a folder, in PEM. Each key lies in the same file as its certificate, which only the owner can read."""

    folder: Path
    #: Whether the broker refuses a client without a certificate of this CA.
    demanded: bool = False

    @property
    def ca(self) -> Path:
        """The certificate of the CA, without its key, which is never written."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """The certificate of the nodes."""
        return self.folder / "server.pem"

    @property
    def client(self) -> Path:
        """A certificate for clients."""
        return self.folder / "client.pem"

    @property
    def of_client(self) -> dict[str, Any]:
        """What a client needs, as Celery's setting `broker_use_ssl` has it."""
        return {"ca_certs": str(self.ca)} | ({"certfile": str(self.client)} if self.demanded else {})

    def configuration(self, address: str, port: int, management_port: int) -> dict[str, object]:
        """The lines of rabbitmq.conf with which a node speaks TLS, and nothing else."""
        asks = {"verify": "verify_peer", "fail_if_no_peer_cert": str(self.demanded).lower()}
        files = {"cacertfile": self.ca, "certfile": self.server, "keyfile": self.server, **asks}
        return {
            "listeners.tcp": "none",
            "listeners.ssl.default": f"{address}:{port}",
            **{f"ssl_options.{name}": value for name, value in files.items()},
            "management.ssl.ip": address,
            "management.ssl.port": management_port,
            **{f"management.ssl.{name}": value for name, value in files.items()},
        }


def certificates_in(folder: Path, *, demanded: bool = False) -> Certificates:
    """The certificates of this folder, made if there are none.

    Args:
        folder: for the files, made when it is missing.
        demanded: whether the broker refuses a client without one.

    Raises:
        MissingProgram: trustme is not installed.
    """
    found = Certificates(folder, demanded=demanded)
    if not (found.ca.exists() and found.server.exists() and found.client.exists()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = _trustme().CA(organization_name="celery lab broker", organization_unit_name="private CA")
        for path, leaf in (
            (found.server, ca.issue_cert(*NAMES)),
            (found.client, ca.issue_cert("client@localhost", common_name="client")),
        ):
            path.touch(mode=0o600)
            leaf.private_key_and_cert_chain_pem.write_to_path(str(path))
        ca.cert_pem.write_to_path(str(found.ca))
    return found


def _trustme() -> ModuleType:
    try:
        # Who has no broker with TLS does not need it.
        return importlib.import_module("trustme")
    except ImportError as error:
        raise MissingProgram(
            "The certificates of --tls are made by trustme, which is not installed. "
            "Get it with: pip install 'trustme>=1.2'"
        ) from error
