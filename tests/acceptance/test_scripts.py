"""`scripts/test` and the gate: on which versions of RabbitMQ the tests run, and what is said when one cannot be had."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What `scripts/test-versions` and `scripts/brokers` use, without Debian's own programs.
PROGRAMS = ("sh", "dirname", "mkdir", "flock", "rm", "sed", "grep", "awk", "cat", "tail")
#: In place of `.venv/bin/python`: the machine's own RabbitMQ is 3.10, and the arguments of each pytest are kept.
PYTHON = """#!/bin/sh
[ "$1" != -c ] || { echo 3.10; exit; }
echo "$@" >>pytest-runs
exit "$PYTEST_STATUS"
"""
#: In place of `apt-get`: a machine without a network.
APT_GET = """#!/bin/sh
[ "$4" != --print-uris ] || { echo "'http://debian.example/debian/dists/bookworm/InRelease' InRelease 0"; exit; }
echo "E: The archive does not answer" >&2
exit 100
"""


class Checkout:
    """A checkout with the project's scripts, and a PATH with few programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        self.add(".venv/bin/python", PYTHON)
        for program in ("scripts/setup", ".venv/bin/ruff", ".venv/bin/mypy"):
            self.add(program, "#!/bin/sh\n")
        (folder / "bin").mkdir()
        for program in PROGRAMS:
            found = shutil.which(program)
            assert found
            (folder / "bin" / program).symlink_to(found)

    def add(self, path: str, text: str) -> None:
        """Add a program of a test."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)
        (self.folder / path).chmod(0o755)

    def unpack(self, version: str) -> None:
        """Let the cache have a version."""
        (self.folder / "brokers" / version).mkdir(parents=True)
        (self.folder / "brokers" / version / "complete").write_text(f"{version}.1\n")

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script as a user does, in whose environment the project has set nothing."""
        environment = {name: value for name, value in os.environ.items() if name not in {"CI", "PROJ_RABBITMQ"}}
        places = {"PATH": str(self.folder / "bin"), "PROJ_BROKERS": str(self.folder / "brokers")}
        return subprocess.run(
            [self.folder / words[0], *words[1:]],
            env={**environment, **places, "PYTEST_STATUS": "0", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def runs(self) -> list[str]:
        """On which RabbitMQ each pytest ran."""
        kept = self.folder / "pytest-runs"
        runs = kept.read_text().splitlines() if kept.exists() else []
        return [(re.findall(r"--rabbitmq (\S+)", run) or ["the machine's"])[0] for run in runs]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout on a machine without `apt-get`, where nothing is unpacked."""
    return Checkout(tmp_path)


def test_tests_run_on_each_version_that_is_not_the_machines_own(checkout: Checkout) -> None:
    """What is unpacked already needs neither apt-get nor a network."""
    checkout.unpack("4.0")
    checkout.unpack("4.3")

    done = checkout.run("scripts/test-versions", CI="true")

    assert done.returncode == 0, done.stdout
    assert checkout.runs() == ["4.0", "4.3"]
    assert "not run" not in done.stdout


def test_tests_that_fail_on_one_version_fail_in_the_end_and_the_other_version_is_still_tested(
    checkout: Checkout,
) -> None:
    """All failures of a gate are seen at once."""
    checkout.unpack("4.0")
    checkout.unpack("4.3")

    done = checkout.run("scripts/test-versions", PYTEST_STATUS="1")

    assert done.returncode == 1
    assert checkout.runs() == ["4.0", "4.3"]


@pytest.mark.parametrize(("variables", "status"), [({}, 0), ({"CI": "true"}, 1)])
@pytest.mark.parametrize(
    ("apt_get", "reason"),
    [
        (None, "unpacking needs Debian's apt-get and dpkg-deb"),
        (APT_GET, "Debian's trixie cannot be read from http://debian.example/debian"),
    ],
)
def test_version_that_cannot_be_had_is_named_in_the_last_line_and_fails_where_ci_is_set(
    checkout: Checkout, apt_get: str | None, reason: str, variables: dict[str, str], status: int
) -> None:
    """One line has the reason; the other version is tested."""
    if apt_get:
        checkout.add("bin/apt-get", apt_get)
        checkout.add("bin/dpkg-deb", "#!/bin/sh\nexit 1\n")
    checkout.unpack("4.3")

    done = checkout.run("scripts/test-versions", **variables)

    assert done.returncode == status, done.stdout
    *before, last = done.stdout.splitlines()
    assert last.startswith("not run: RabbitMQ 4.0 (")
    assert reason in last
    assert not any("not run" in line for line in before)
    assert checkout.runs() == ["4.3"]


def test_all_versions_that_cannot_be_had_are_named_in_one_line(checkout: Checkout) -> None:
    """The last line says everything that the gate did not do."""
    done = checkout.run("scripts/test-versions")

    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "not run" in line]
    assert line == done.stdout.splitlines()[-1]
    assert "RabbitMQ 4.0 (" in line
    assert ", RabbitMQ 4.3 (" in line


def test_gate_runs_all_tests_on_the_machines_own_rabbitmq_and_then_the_other_versions(checkout: Checkout) -> None:
    """A version that cannot be had is a failure there, also where nothing else sets `CI`."""
    checkout.unpack("4.0")

    done = checkout.run(".ci/run")

    assert done.returncode == 1
    assert checkout.runs() == ["the machine's", "4.0"]
    assert done.stdout.splitlines()[-1].startswith("not run: RabbitMQ 4.3 (")


def test_tests_with_arguments_run_on_one_rabbitmq(checkout: Checkout) -> None:
    """Who names a test does not wait for others, and sees whether it fails."""
    done = checkout.run("scripts/test", "tests/unit", PYTEST_STATUS="1")

    assert done.returncode == 1
    assert checkout.runs() == ["the machine's"]
