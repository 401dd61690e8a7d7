"""The certificates of a private broker."""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING

import pytest

from proj.errors import MissingProgram
from proj.lab.certificates import certificates_in

if TYPE_CHECKING:
    from pathlib import Path


def test_certificates_of_a_kept_folder_stay_as_they_are(tmp_path: Path) -> None:
    """Clients have been told to trust them. Nobody else can read the keys."""
    first = certificates_in(tmp_path / "tls")
    files = {path: path.read_bytes() for path in (first.ca, first.server, first.client)}
    second = certificates_in(tmp_path / "tls", demanded=True)

    assert {path: path.read_bytes() for path in files} == files
    assert [path.stat().st_mode & 0o077 for path in (second.server, second.client, second.folder)] == [0, 0, 0]
    assert b"PRIVATE KEY" not in files[first.ca]
    assert second.of_client == {**first.of_client, "certfile": str(first.client)}


def test_client_and_server_trust_each_other(tmp_path: Path) -> None:
    """Each file is what the name says, and has its key."""
    made = certificates_in(tmp_path)
    for purpose, own in ((ssl.Purpose.SERVER_AUTH, made.client), (ssl.Purpose.CLIENT_AUTH, made.server)):
        context = ssl.create_default_context(purpose, cafile=str(made.ca))
        context.load_cert_chain(own)


def test_what_makes_them_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(MissingProgram, match="pip install 'trustme"):
        certificates_in(tmp_path / "tls")
