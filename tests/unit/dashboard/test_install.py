"""Installing our application and receiver in place of Flower's, and when that is refused."""

from __future__ import annotations

import flower.command
import flower.events
import pytest

from proj.dashboard import install
from proj.dashboard.web.application import Dashboard
from proj.dashboard.web.event_receiver import EventReceiver
from proj.errors import InvalidSetting, ProjError


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore Flower after each test."""
    monkeypatch.setattr(flower.command, "Flower", flower.command.Flower)
    monkeypatch.setattr(flower.events, "EventReceiver", flower.events.EventReceiver)
    option = flower.command.options.__dict__["_options"]["dispatch-history"]
    monkeypatch.setattr(option, "_value", option.value())


def test_install_can_be_repeated() -> None:
    """Our command installs, and then the flowerconfig.py that Flower reads installs again."""
    for _ in range(2):
        assert install.install_or_warn()

        assert flower.command.Flower is Dashboard
        assert flower.events.EventReceiver is EventReceiver


def test_install_takes_our_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock `celery flower` reads its environment before our options are defined."""
    monkeypatch.setenv("FLOWER_DISPATCH_HISTORY", "77")

    install.install()

    assert flower.command.options.dispatch_history == 77


def test_install_refuses_an_invalid_value_of_our_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, and not a warning after which Flower starts."""
    monkeypatch.setenv("FLOWER_DISPATCH_HISTORY", "many")

    with pytest.raises(InvalidSetting, match="FLOWER_DISPATCH_HISTORY"):
        install.install_or_warn()


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in install.REQUIRED_NAMES.items() for name in names]
)
def test_install_refuses_a_flower_without_a_name_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, name: str
) -> None:
    """For each required name. A flowerconfig.py only warns."""
    before = {key: vars(flower.command).get(key) for key in ("Flower", "settings")}
    monkeypatch.delattr(f"{module}.{name}")

    with pytest.raises(ProjError, match="no Dispatch page"):
        install.install()
    assert not install.install_or_warn()

    assert "Warning: This Flower has no Dispatch page" in capsys.readouterr().err
    assert vars(flower.command).get("Flower") in {before["Flower"], None}
    assert vars(flower.events).get("EventReceiver") is not EventReceiver
