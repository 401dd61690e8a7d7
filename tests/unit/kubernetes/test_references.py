"""What a manifest of deploy/kubernetes names is there, under that name."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from proj import queues
from proj.broker.version import BrokerVersion
from proj.celery import app
from proj.delivery.topology.roles import roles
from proj.lab.definitions import packaged_definitions
from tests.unit.kubernetes.manifests import (
    FOLDER,
    KUSTOMIZATION,
    MANIFESTS,
    container,
    identity,
    of_kind,
    option,
    places,
    pod,
)

#: Secrets that nobody but the user can make, with their keys; docs/kubernetes.md has the command.
BY_HAND = {"dashboard-login": {"basic_auth"}}
#: Those that the topology operator makes for each user.
MADE = {f"{user}-user-credentials": {"username", "password"} for user in of_kind("User")}
CLUSTER = "rabbitmq"
VHOST = "proj"
#: What the cluster operator labels the pods of a cluster with.
#: Source: https://github.com/rabbitmq/cluster-operator/blob/v2.22.3/internal/metadata/label.go
BROKER = {"app.kubernetes.io/name": CLUSTER, "app.kubernetes.io/component": "rabbitmq"}


def test_kustomization_has_every_file_of_the_folder() -> None:
    """A file that it does not name would not be applied."""
    assert sorted(KUSTOMIZATION["resources"]) == sorted(
        path.name for path in FOLDER.glob("*.yml") if path.name != "kustomization.yml"
    )
    assert [KUSTOMIZATION["namespace"]] == list(of_kind("Namespace"))


def test_no_password_is_in_the_folder() -> None:
    """Passwords are made by the operator, or by hand; everything else names the Secret, and a key that it has."""
    secrets = MADE | BY_HAND
    named = [
        *places(MANIFESTS, "secretKeyRef"),
        *(each for refs in places(MANIFESTS, "secretTargetRef") for each in refs),
    ]

    assert not of_kind("Secret")
    assert named
    assert [each for each in named if each["key"] not in secrets.get(each["name"], ())] == []
    page = (FOLDER.parents[1] / "docs" / "kubernetes.md").read_text()
    for name, (key,) in BY_HAND.items():
        assert re.search(rf"create secret generic {name} --from-literal={key}=", page)


def test_objects_that_are_named_exist() -> None:
    """Clusters, users, virtual hosts, volumes, deployments and logins."""
    referred = {
        "RabbitmqCluster": [each["name"] for each in places(MANIFESTS, "rabbitmqClusterReference")],
        "User": [each["name"] for each in places(MANIFESTS, "userReference")],
        "Vhost": [*places(MANIFESTS, "vhost"), *places(MANIFESTS, "vhostName")],
        "PersistentVolumeClaim": [each["claimName"] for each in places(MANIFESTS, "persistentVolumeClaim")],
        "Deployment": [each["name"] for each in places(MANIFESTS, "scaleTargetRef")],
        "TriggerAuthentication": [each["name"] for each in places(MANIFESTS, "authenticationRef")],
    }
    for kind, names in referred.items():
        assert names
        assert set(names) <= set(of_kind(kind))
    for user in of_kind("User"):
        assert of_kind("Permission")[user]["spec"]["userReference"]["name"] == user


@pytest.mark.parametrize("name", sorted(of_kind("Deployment")))
def test_addresses_lead_to_the_broker_and_its_virtual_host(name: str) -> None:
    """The cluster's service has the cluster's name; our commands have api/ in the address of the management API."""
    value = {each["name"]: each.get("value", "") for each in container(name)["env"]}
    amqp, api = (
        urlsplit(value[each].replace("$(", "").replace(")", "")) for each in ("CELERY_BROKER_URL", "FLOWER_BROKER_API")
    )

    assert (amqp.scheme, amqp.hostname, amqp.port, amqp.path) == ("amqp", CLUSTER, 5672, f"/{VHOST}")
    assert (api.scheme, api.hostname, api.port, api.path) == ("http", CLUSTER, 15672, "/api/")


def test_scaler_counts_all_messages_of_the_workers_queue_by_their_slots() -> None:
    """AMQP counts what is ready alone: workers that have everything in hand would be taken away."""
    (trigger,) = of_kind("ScaledObject")["worker"]["spec"]["triggers"]
    metadata = trigger["metadata"]

    assert trigger["type"] == "rabbitmq"
    assert (metadata["protocol"], metadata["mode"], metadata["excludeUnacknowledged"]) == (
        "http",
        "QueueLength",
        "false",
    )
    assert metadata["queueName"] == option("worker", "--queues") == queues.WORK_QUEUE
    assert metadata["value"] == option("worker", "--concurrency")
    # Its pods are in another namespace, and it adds api/ and the virtual host itself.
    assert metadata["host"] == f"http://{CLUSTER}.{KUSTOMIZATION['namespace']}.svc:15672"


def test_scaled_object_alone_sets_the_number_of_workers() -> None:
    """A number of replicas in the deployment would undo the scaling with each `kubectl apply`."""
    scaled = of_kind("ScaledObject")["worker"]["spec"]

    assert "replicas" not in of_kind("Deployment")["worker"]["spec"]
    assert 0 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"]


def labels_of_pods() -> list[dict[str, str]]:
    return [*(pod(name)["metadata"]["labels"] for name in of_kind("Deployment")), BROKER]


@pytest.mark.parametrize(
    "manifest",
    [
        each
        for kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")
        for each in of_kind(kind).values()
    ],
    ids=identity,
)
def test_selectors_find_pods(manifest: dict[str, Any]) -> None:
    """A selector that finds none has no effect, and Kubernetes says nothing."""
    spec = manifest["spec"]
    found = [each.get("matchLabels", {}) for each in [*places(spec, "podSelector"), *places(spec, "selector")]]
    if manifest["kind"] == "Service":
        found = [spec["selector"]]
    if manifest["kind"] == "Deployment":
        found = [spec["selector"]["matchLabels"]]

    assert found
    for labels in found:
        assert any(labels.items() <= pods.items() for pods in labels_of_pods()), labels


def test_ports_of_services_and_policies_are_those_that_listen() -> None:
    """AMQP, management, metrics of RabbitMQ; the dashboard's own."""
    (port,) = container("dashboard")["ports"]
    (served,) = of_kind("Service")["dashboard"]["spec"]["ports"]

    assert f"--port={port['containerPort']}" in container("dashboard")["args"]
    assert served["targetPort"] == port["name"]
    assert set(places(of_kind("NetworkPolicy")["dashboard"]["spec"]["ingress"], "port")) == {port["containerPort"]}
    assert set(places(of_kind("NetworkPolicy")["rabbitmq-clients"], "port")) == {5672, 15672, 15692}


# --- Who may do what ---


@pytest.mark.parametrize(
    ("user", "right", "name"),
    [
        ("publisher", "write", "amq.default"),
        ("publisher", "write", "celery.pidbox"),
        ("publisher", "read", "task_queue"),
        ("publisher", "read", "dead_letters"),
        ("worker", "configure", "proj.paused.task_queue"),
        ("worker", "configure", "another_queue"),
        ("monitor", "read", "task_queue"),
        ("monitor", "write", "tasks"),
        ("keda", "read", "task_queue"),
        ("operator", "read", "task_queue"),
    ],
)
def test_user_may_not_do_what_is_not_its_work(user: str, right: str, name: str) -> None:
    """RabbitMQ looks for the pattern anywhere in a name, so each begins and ends with an anchor."""
    pattern = of_kind("Permission")[user]["spec"]["permissions"][right]

    assert (pattern[0], pattern[-1]) == ("^", "$")
    assert not re.search(pattern, name)


@pytest.mark.parametrize("user", ["publisher", "monitor", "operator"])
def test_user_has_at_least_the_permissions_and_tags_of_its_role(user: str) -> None:
    """Those of `celery -A proj queues topology --roles`; what it declares besides is more."""
    (role,) = [each for each in roles(app) if each.name == user]
    mine = of_kind("Permission")[user]["spec"]["permissions"]
    # Celery's delays have one pattern here. Stages of the pipeline, and broadcasts, are sent elsewhere.
    elsewhere = {"my_queue", "upper", "celery_delayed_27", *queues.EXCHANGES} if user == "publisher" else set()

    for right, lines in (("configure", role.configure), ("write", role.write), ("read", role.read)):
        assert [line for line in lines if line not in mine[right] and line not in elsewhere] == []
    assert of_kind("User")[user]["spec"].get("tags", []) == role.tags.split()


# --- What the broker has ----------------------------------------------------------------------------


def test_policies_are_those_of_the_lab() -> None:
    """Which are tested; on a cluster they come from the topology operator, not from a file."""
    made = [
        {
            "name": spec["name"],
            "pattern": spec["pattern"],
            "apply-to": spec["applyTo"],
            "priority": spec["priority"],
            "definition": spec["definition"],
        }
        for spec in (policy["spec"] for policy in of_kind("Policy").values())
    ]
    version = BrokerVersion.read(of_kind("RabbitmqCluster")["rabbitmq"]["spec"]["image"].partition(":")[2])
    expected = [
        {key: each for key, each in row.items() if key != "vhost"} for row in packaged_definitions(version)["policies"]
    ]

    assert sorted(made, key=lambda each: each["name"]) == sorted(expected, key=lambda each: each["name"])


def test_queues_and_exchanges_are_those_that_our_app_declares() -> None:
    """Otherwise a worker would be refused that declares them with other arguments."""
    work = queues.work_queue(queues.QUORUM)
    expected = {
        "Exchange": {(work.exchange.name, work.exchange.type), (queues.DEAD_LETTERS, "fanout")},
        "Queue": {(work.name, work.queue_arguments["x-queue-type"]), (queues.DEAD_LETTERS, queues.QUORUM)},
    }
    for kind, pairs in expected.items():
        specs = [manifest["spec"] for manifest in of_kind(kind).values()]
        assert {(spec["name"], spec["type"]) for spec in specs} == pairs
        assert all(spec["durable"] for spec in specs)
    bindings = [manifest["spec"] for manifest in of_kind("Binding").values()]

    assert {(each["source"], each["routingKey"], each["destination"]) for each in bindings} == {
        (work.exchange.name, work.routing_key, work.name),
        (queues.DEAD_LETTERS, "", queues.DEAD_LETTERS),
    }
