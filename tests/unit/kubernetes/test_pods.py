"""What the containers of deploy/kubernetes run, and as whom."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath
from typing import Any

import pytest
from celery.bin.worker import worker

import proj.dashboard.web.options  # noqa: F401 it defines the options of the Dispatch page
from proj import environment
from proj.commands.health import health
from proj.commands.journal.record import record
from proj.dashboard.web.allowed_hosts import allowed_names, is_allowed
from proj.dashboard.web.arguments import check_environment, checked_arguments
from proj.dashboard.web.options import defined_options
from tests.unit.kubernetes.manifests import (
    FOLDER,
    KUSTOMIZATION,
    MANIFESTS,
    container,
    of_kind,
    option,
    places,
    pod,
    words,
)

DEPLOYMENTS = sorted(of_kind("Deployment"))
#: What our app reads, beside the options of Flower.
OURS = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", *environment.VARIABLES}
#: Seconds that a worker may need after its last task: to give back what it holds, and to publish the last results.
AFTER_THE_LAST_TASK_S = 20


def parsed(command: Any, arguments: list[str]) -> dict[str, Any]:
    """The values that a command of celery takes from these words, all of which it must know."""
    values, rest, _order = command.make_parser(command.context_class(command)).parse_args(arguments)
    assert rest == []
    return dict(values)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_variables_are_read_by_our_code_or_stand_in_another_one(name: str) -> None:
    """A misspelt variable would have no effect; Kubernetes replaces only what is defined above."""
    variables = container(name)["env"]
    names = [each["name"] for each in variables]
    of_flower = {each for each in names if each.startswith("FLOWER_")}
    used = {inner for each in (*words(name), *probes(name)) for inner in re.findall(r"\$\(?(\w+)", each)}
    for number, each in enumerate(variables):
        inside = set(re.findall(r"\$\((\w+)\)", each.get("value", "")))
        assert inside <= set(names[:number])
        used |= inside

    check_environment(dict.fromkeys(of_flower, "name:password"), defined_options())
    assert used <= set(names)
    assert set(names) - OURS - of_flower <= used


def probes(name: str) -> list[str]:
    """The words of the commands that probe the container."""
    return [word for each in places(container(name), "exec") for word in each["command"]]


def test_command_line_of_the_worker_is_celerys() -> None:
    """Every option is one that it knows; the name is the pod's, which no other has."""
    assert words("worker")[:4] == ["celery", "-A", "proj", "worker"]

    parsed(worker, words("worker")[4:])
    assert "$(POD_NAME)" in option("worker", "--hostname")


def test_command_lines_of_recorder_and_dashboard_are_ours() -> None:
    """Every option is one that they know; the journal is on the volume."""
    assert words("recorder")[:5] == ["celery", "-A", "proj", "journal", "record"]
    assert words("dashboard")[:4] == ["celery", "-A", "proj", "dashboard"]

    path = parsed(record, words("recorder")[5:])["path"]
    checked_arguments(words("dashboard")[4:], defined_options(), {})
    (mount,) = container("recorder")["volumeMounts"]
    assert str(PurePosixPath(path).parent) == mount["mountPath"]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probe_asks_our_health_command_for_the_worker_of_its_pod(probe: str) -> None:
    """It asks for the name that the worker was given, and may take as long as it waits for an answer."""
    found = container("worker")[probe]
    shell, flag, line = found["exec"]["command"]
    arguments = shlex.split(line.removeprefix("exec "))

    assert (shell, flag, arguments[:4]) == ("sh", "-c", ["celery", "-A", "proj", "health"])
    asked = parsed(health, arguments[4:])
    assert asked["worker"] == re.sub(r"\$\((\w+)\)", r"$\1", option("worker", "--hostname"))
    assert found["timeoutSeconds"] > 2 * float(asked["timeout"])


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probe_of_the_dashboard_asks_under_a_name_that_is_allowed(probe: str) -> None:
    """A probe asks under the pod's address otherwise, which the dashboard refuses."""
    asked = container("dashboard")[probe]["httpGet"]
    (host,) = [each["value"] for each in asked["httpHeaders"] if each["name"] == "Host"]

    assert asked["path"] == "/healthcheck"
    assert is_allowed(host, allowed_names("0.0.0.0", []))  # noqa: S104 what the dashboard of a pod listens on


def test_dashboard_has_a_password_no_buttons_and_the_names_of_its_service() -> None:
    """Read-only is its default, so nothing may undo that."""
    (service,) = of_kind("Service")
    hosts = next(each for each in words("dashboard") if each.startswith("--allowed_hosts="))
    names = {service, f"{service}.{KUSTOMIZATION['namespace']}", f"{service}.{KUSTOMIZATION['namespace']}.svc"}

    assert "FLOWER_BASIC_AUTH" in {each["name"] for each in container("dashboard")["env"]}
    assert "read_only" not in str(container("dashboard")).lower()
    assert set(hosts.partition("=")[2].split(",")) == names


def test_worker_gets_the_signal_itself_and_as_long_as_its_longest_task() -> None:
    """SIGTERM is the warm shutdown: no shell before it, no hook that delays it, and time for what runs."""
    grace_s = pod("worker")["spec"]["terminationGracePeriodSeconds"]

    assert container("worker")["command"][0] == "celery"
    assert "lifecycle" not in container("worker")
    assert grace_s == int(option("worker", "--time-limit")) + AFTER_THE_LAST_TASK_S


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pod_may_do_nothing_but_its_work(name: str) -> None:
    """As Kubernetes' restricted profile asks, and without variables for services, which look like settings of ours."""
    spec, only = pod(name)["spec"], container(name)

    assert (spec["enableServiceLinks"], spec["automountServiceAccountToken"]) == (False, False)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert {"requests", "limits"} <= only["resources"].keys()


def test_user_of_the_pods_is_that_of_the_image() -> None:
    """Kubernetes checks only a number."""
    dockerfile = (FOLDER.parents[1] / "Dockerfile").read_text()
    (number,) = re.findall(r"useradd .*--uid (\d+) proj", dockerfile)

    assert set(places([pod(name) for name in DEPLOYMENTS], "runAsUser")) == {int(number)}


def test_image_is_named_once() -> None:
    """All containers take the one that the kustomization replaces."""
    (image,) = KUSTOMIZATION["images"]

    assert {container(name)["image"] for name in DEPLOYMENTS} == {image["name"]}
    assert image["newName"] not in str(MANIFESTS)
