"""The seam: what is put in the place of Flower's own, and when it is not."""

from __future__ import annotations

import flower.command
import flower.events
import pytest

from proj.dashboard import install
from proj.dashboard.web.application import Dashboard
from proj.errors import InvalidSetting, ProjError
from proj.journal.recording.receiver import Receiver


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower as it was, after each test."""
    monkeypatch.setattr(flower.command, "Flower", flower.command.Flower)
    monkeypatch.setattr(flower.events, "EventReceiver", flower.events.EventReceiver)
    option = flower.command.options.__dict__["_options"]["dispatch-history"]
    monkeypatch.setattr(option, "_value", option.value())


def test_install_puts_our_application_and_receiver_into_flower_once_or_more() -> None:
    """Our command does it, and the flowerconfig.py that Flower then reads does it again."""
    for _ in range(2):
        assert install.install_or_warn()

        assert flower.command.Flower is Dashboard
        assert flower.events.EventReceiver is Receiver


def test_install_takes_our_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock `celery flower` has read it before it knew them."""
    monkeypatch.setenv("FLOWER_DISPATCH_HISTORY", "77")

    install.install()

    assert flower.command.options.dispatch_history == 77


def test_install_refuses_an_option_of_ours_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and no warning that starts Flower nevertheless."""
    monkeypatch.setenv("FLOWER_DISPATCH_HISTORY", "many")

    with pytest.raises(InvalidSetting, match="FLOWER_DISPATCH_HISTORY"):
        install.install_or_warn()


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in install.REQUIRED_NAMES.items() for name in names]
)
def test_install_refuses_a_flower_without_a_name_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, name: str
) -> None:
    """Of each that it looks for; a flowerconfig.py only warns."""
    before = {key: vars(flower.command).get(key) for key in ("Flower", "settings")}
    monkeypatch.delattr(f"{module}.{name}")

    with pytest.raises(ProjError, match="no Dispatch page"):
        install.install()
    assert not install.install_or_warn()

    assert "Warning: This Flower has no Dispatch page" in capsys.readouterr().err
    assert vars(flower.command).get("Flower") in {before["Flower"], None}
    assert vars(flower.events).get("EventReceiver") is not Receiver
