"""The settings of celeryconfig.py, from environment variables."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from proj.environment import LONGEST_SHOWN
from proj.errors import EXIT_USAGE, InvalidSetting, UnknownSetting
from proj.lab.certificates import Certificates, certificates_in

FILE = Path(__file__).parents[2] / "celeryconfig.py"
VARIABLES = (
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "PROJ_BIND",
    "PROJ_BROKER_CA",
    "PROJ_BROKER_CERTIFICATE",
    "PROJ_BROKER_KEY",
    "PROJ_CONSUMER_TIMEOUT_SECONDS",
    "PROJ_DISPATCH",
    "PROJ_DOT_SECONDS",
    "PROJ_QUEUE_TYPE",
)


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def settings() -> dict[str, Any]:
    return runpy.run_path(str(FILE))


def test_defaults_are_fair_durable_and_lossless() -> None:
    """Without variables: adaptive dispatch, late acknowledgement, a quorum queue, confirms and JSON."""
    conf = settings()

    assert conf["proj_dispatch"] == "adaptive"
    assert (conf["task_acks_late"], conf["task_reject_on_worker_lost"]) == (True, True)
    assert conf["worker_prefetch_multiplier"] == 1
    assert conf["task_default_delivery_mode"] == "persistent"
    assert conf["broker_transport_options"] == {"read_timeout": 8, "write_timeout": 8}
    assert conf["proj_publish_timeout_s"] == 90
    assert conf["accept_content"] == ["json"]
    assert (conf["enable_utc"], conf["timezone"]) == (True, "UTC")
    assert (conf["worker_send_task_events"], conf["task_send_sent_event"], conf["task_track_started"]) == (True,) * 3
    assert conf["result_backend"] == "rpc://"
    assert conf["proj_dot_seconds"] == 1.0


def test_fair_is_late_acknowledgement_with_one_message_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of plain Celery, and nothing of ours beside them."""
    monkeypatch.setenv("PROJ_DISPATCH", "fair")

    conf = settings()

    assert conf["proj_dispatch"] == "fair"
    assert (conf["task_acks_late"], conf["task_reject_on_worker_lost"]) == (True, True)
    assert conf["worker_prefetch_multiplier"] == 1


def test_round_robin_is_early_acknowledgement_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """PROJ_DISPATCH alone sets all settings of a mode."""
    monkeypatch.setenv("PROJ_DISPATCH", "round-robin")

    conf = settings()

    assert (conf["task_acks_late"], conf["task_reject_on_worker_lost"]) == (False, False)
    assert conf["worker_prefetch_multiplier"] == 0


@pytest.mark.parametrize(("queue_type", "arguments"), [("quorum", {"x-queue-type": "quorum"}), ("classic", None)])
def test_work_queue_is_durable_and_has_no_argument_but_its_type(
    monkeypatch: pytest.MonkeyPatch, queue_type: str, arguments: dict[str, str] | None
) -> None:
    """Any client that declares the tutorials' queue declares the same; a classic queue has no argument."""
    monkeypatch.setenv("PROJ_QUEUE_TYPE", queue_type)

    (queue,) = settings()["task_queues"]

    assert (queue.name, queue.durable, queue.auto_delete) == ("task_queue", True, False)
    assert queue.queue_arguments == arguments


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("PROJ_DISPATCH", "fare", "round-robin, fair"),
        ("PROJ_QUEUE_TYPE", "stream", "quorum, classic"),
        ("PROJ_BIND", "image..heavy", "no word empty"),
        ("PROJ_BIND", "*.heavy,", "no word empty"),
        ("PROJ_BIND", ".", "no word empty"),
        ("PROJ_BIND", " ", "no word empty"),
        ("PROJ_BIND", "image heavy", "words joined by dots"),
        ("PROJ_BIND", "im*.heavy", "* stands for one word"),
        ("PROJ_BIND", "image.##", "# for any number"),
        ("PROJ_BIND", "#.a.#.b.#", "at most 2 # in each"),
        ("PROJ_BIND", "x" * 186, "at most 185 bytes"),
        ("PROJ_BIND", ",".join(f"{number:037}" for number in range(5)), "at most 185 bytes"),
        ("PROJ_BIND", "\udcff", "at most 185 bytes"),
        ("PROJ_BIND", "x." * 5000 + "x", "at most 185 bytes"),
        ("PROJ_DOT_SECONDS", "-1", "from 0 to 3600"),
        ("PROJ_DOT_SECONDS", "nan", "from 0 to 3600"),
        ("PROJ_DOT_SECONDS", "inf", "from 0 to 3600"),
        ("PROJ_DOT_SECONDS", "1e99", "from 0 to 3600"),
        ("PROJ_DOT_SECONDS", "fast", "from 0 to 3600"),
        ("PROJ_CONSUMER_TIMEOUT_SECONDS", "1e99", "from 0 to 4294967"),
        ("CELERY_BROKER_URL", "redis://localhost", "RabbitMQ"),
        ("CELERY_BROKER_URL", "localhost", "RabbitMQ"),
        ("CELERY_BROKER_URL", "amqp://localhost:port//", "RabbitMQ"),
        ("CELERY_RESULT_BACKEND", "nowhere://", "result backend"),
    ],
)
def test_wrong_value_is_refused_with_the_variable_the_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, allowed: str
) -> None:
    """For each variable: one sentence, and the exit code of wrong use."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(InvalidSetting) as caught:
        settings()

    message = str(caught.value)
    shown = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}… ({len(value)} characters)"
    assert message.startswith(f"{variable} is {shown!r}, but must be ")
    assert allowed in message
    assert "\n" not in message
    assert caught.value.exit_code == EXIT_USAGE


def test_wrong_one_of_several_brokers_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are right, and their passwords are nobody's business."""
    monkeypatch.setenv("CELERY_BROKER_URL", "amqp://me:secret@one//;redis://me:secret@two;amqp://me:secret@three//")

    with pytest.raises(InvalidSetting) as caught:
        settings()

    assert "CELERY_BROKER_URL is 'redis://me:**@two', but must be " in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        ("", ()),
        ("*.heavy", ("*.heavy",)),
        ("*.heavy, image.#", ("*.heavy", "image.#")),
        ("#,#", ("#",)),
        ("#.error.#,#.a", ("#.error.#", "#.a")),
        ("é.ü", ("é.ü",)),
    ],
)
def test_patterns_are_joined_by_commas(monkeypatch: pytest.MonkeyPatch, value: str, patterns: tuple[str, ...]) -> None:
    """Each pattern once, and without the blank after a comma."""
    monkeypatch.setenv("PROJ_BIND", value)

    assert settings()["proj_bind"] == patterns


def test_refusal_does_not_repeat_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error may be written to a log."""
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://me:se@cret@localhost")

    with pytest.raises(InvalidSetting) as caught:
        settings()

    assert "cret" not in str(caught.value)
    assert "me:**@localhost" in str(caught.value)


@pytest.mark.parametrize("url", ["amqp://a:b@h:5672//", "amqps://h", "pyamqp://h/v", "amqp://a;amqp://b"])
def test_url_of_a_rabbitmq_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """With TLS, with a virtual host, or several URLs for failover."""
    monkeypatch.setenv("CELERY_BROKER_URL", url)

    assert settings()["broker_url"] == url


def test_every_setting_says_why() -> None:
    """Each setting has a comment, or stands below one that covers it."""
    lines = FILE.read_text().splitlines()
    unexplained = [
        line
        for before, line in itertools.pairwise(lines)
        if " = " in line and line[0].isalpha() and not before.startswith("#") and " = " not in before
    ]

    assert unexplained == []


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("PROJ_DISPACH", "PROJ_DISPATCH"),
        ("PROJ_dispatch", "PROJ_DISPATCH"),
        ("proj_dispatch", "PROJ_DISPATCH"),
        ("PROJ_DOTSECONDS", "PROJ_DOT_SECONDS"),
        ("PROJ_DOT_SECOND", "PROJ_DOT_SECONDS"),
        ("PROJ_QUEUETYPE", "PROJ_QUEUE_TYPE"),
        ("PROJ_BINDS", "PROJ_BIND"),
        ("PROJ_CONSUMER_TIMEOUT_SECOND", "PROJ_CONSUMER_TIMEOUT_SECONDS"),
        ("PROJ_RABITMQ", "PROJ_RABBITMQ"),
    ],
)
def test_misspelt_variable_is_refused_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    """It would have no effect. Its value is not shown: it may be a password of another program."""
    monkeypatch.setenv(misspelt, "secret")

    with pytest.raises(UnknownSetting) as caught:
        settings()

    assert str(caught.value) == f"{misspelt} is not a variable of proj; did you mean {meant}?"
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("theirs", ["PROJ_ROOT", "PROJ_DATA", "PROJ_LIB", "PROJ_NETWORK", "PROJ_NAME", "PROJECT_BIND"])
def test_variables_of_other_projects_are_left_alone(monkeypatch: pytest.MonkeyPatch, theirs: str) -> None:
    """PROJ_ is a common prefix: PROJ_LIB and PROJ_NETWORK are those of the library PROJ for maps."""
    monkeypatch.setenv(theirs, "anything")

    assert settings()["proj_dispatch"] == "adaptive"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("tls"))


def test_files_of_certificates_become_options_of_tls(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    """Without them the scheme of the URL decides."""
    monkeypatch.setenv("CELERY_BROKER_URL", "amqps://one//;amqps://two//")
    assert settings()["broker_use_ssl"] is False
    monkeypatch.setenv("PROJ_BROKER_CA", str(certificates.ca))
    assert settings()["broker_use_ssl"] == {"ca_certs": str(certificates.ca)}
    monkeypatch.setenv("PROJ_BROKER_CERTIFICATE", str(certificates.client))
    monkeypatch.setenv("PROJ_BROKER_KEY", str(certificates.client))
    assert settings()["broker_use_ssl"] == {
        "ca_certs": str(certificates.ca),
        "certfile": str(certificates.client),
        "keyfile": str(certificates.client),
    }


@pytest.mark.parametrize(
    ("url", "variables", "said"),
    [
        ("amqps://h//", {"PROJ_BROKER_CA": "none.pem"}, "PROJ_BROKER_CA is 'none.pem'"),
        ("amqps://h//", {"PROJ_BROKER_CA": __file__}, "must be a file with the CA's certificate"),
        ("amqps://h//", {"PROJ_BROKER_CERTIFICATE": "none.pem"}, "PROJ_BROKER_CERTIFICATE is 'none.pem'"),
        ("amqps://h//", {"PROJ_BROKER_KEY": "key.pem"}, "PROJ_BROKER_CERTIFICATE, not set"),
        ("amqp://u:secret@h//", {"PROJ_BROKER_CA": "ca.pem"}, "CELERY_BROKER_URL is 'amqp://u:**@h//'"),
        ("amqps://h//;amqp://i//", {"PROJ_BROKER_CA": "ca.pem"}, "because amqp:// does not use TLS"),
        ("amqp://u:secret@h;amqp://u:secret@i", {"PROJ_BROKER_CA": "ca.pem"}, "'amqp://u:**@h;amqp://u:**@i'"),
    ],
)
def test_tls_that_would_not_be_used_or_not_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], said: str
) -> None:
    """With the variable to correct, and without a password."""
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting) as caught:
        settings()
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_key_with_a_passphrase_is_refused_without_asking_for_it(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, tmp_path: Path
) -> None:
    """A worker has no terminal."""
    whole = certificates.client.read_bytes()
    key = serialization.load_pem_private_key(whole, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "key.pem").write_bytes(locked)
    monkeypatch.setenv("CELERY_BROKER_URL", "amqps://h//")
    monkeypatch.setenv("PROJ_BROKER_CERTIFICATE", str(certificates.client))
    monkeypatch.setenv("PROJ_BROKER_KEY", str(tmp_path / "key.pem"))
    with pytest.raises(InvalidSetting, match="the key has a passphrase"):
        settings()
