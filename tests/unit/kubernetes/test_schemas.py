"""Every manifest of deploy/kubernetes against the published schema of its kind."""

from __future__ import annotations

import copy
import json
from typing import Any

import kubernetes_validate
import pytest
from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError

from tests.unit.kubernetes.keep_published import PUBLISHED
from tests.unit.kubernetes.manifests import MANIFESTS, identity, of_kind, places

#: The oldest Kubernetes that is still maintained: a field that only newer ones know is refused.
KUBERNETES = "1.34"
#: The schemas of the operators' kinds and of KEDA's, kept by scripts/crds. OpenAPI 3.0 is nearest to this draft.
SCHEMAS: dict[str, dict[str, Any]] = {
    kind: schema
    for path in PUBLISHED.glob("*.json")
    for kind, schema in json.loads(path.read_text())["schemas"].items()
}


def validate(manifest: dict[str, Any]) -> None:
    """Raise ValidationError where the manifest has a field that its kind does not know, or lacks one."""
    kind = f"{manifest['apiVersion']} {manifest['kind']}"
    if schema := SCHEMAS.get(kind):
        Draft4Validator(schema).validate(manifest)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def validate_metadata(manifests: list[dict[str, Any]]) -> None:
    """Raise ValidationError where the metadata of one has an unknown field; schemas of custom kinds leave it out."""
    items = [{"metadata": manifest["metadata"]} for manifest in manifests]
    everything = {"apiVersion": "v1", "kind": "ConfigMapList", "items": items}
    kubernetes_validate.validate(everything, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=identity)
def test_manifest_has_only_fields_of_its_published_schema(manifest: dict[str, Any]) -> None:
    """A field that is refused here is misspelt, or is new in the folder: then scripts/crds fetches its schema."""
    validate(manifest)


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("Deployment", "worker", "spec.template.spec.terminationGracePeriodSeconds"),
        ("PodDisruptionBudget", "worker", "spec.maxUnavailable"),
        ("NetworkPolicy", "dashboard", "spec.ingress"),
        ("PersistentVolumeClaim", "journal", "spec.accessModes"),
        ("Service", "dashboard", "spec.selector"),
        ("RabbitmqCluster", "rabbitmq", "spec.rabbitmq.additionalConfig"),
        ("RabbitmqCluster", "rabbitmq", "spec.persistence.storage"),
        ("Vhost", "proj", "spec.defaultQueueType"),
        ("User", "worker", "spec.tags"),
        ("Permission", "worker", "spec.permissions.configure"),
        ("Policy", "work", "spec.applyTo"),
        ("Queue", "task-queue", "spec.durable"),
        ("Binding", "task-queue", "spec.routingKey"),
        ("TriggerAuthentication", "rabbitmq", "spec.secretTargetRef"),
        ("ScaledObject", "worker", "spec.advanced.horizontalPodAutoscalerConfig"),
        ("ScaledObject", "worker", "spec.minReplicaCount"),
    ],
)
def test_misspelt_field_is_refused(kind: str, name: str, path: str) -> None:
    """Of every kind with a schema of its own, and of Kubernetes'."""
    manifest = copy.deepcopy(of_kind(kind)[name])
    *outer, last = path.split(".")
    place = manifest
    for step in outer:
        place = place[step]
    place[f"{last}s"] = place.pop(last)

    with pytest.raises((ValidationError, kubernetes_validate.ValidationError)):
        validate(manifest)


def test_metadata_have_only_fields_that_kubernetes_knows() -> None:
    """Of every kind."""
    validate_metadata(MANIFESTS)
    misspelt = copy.deepcopy(MANIFESTS[0])
    misspelt["metadata"]["lables"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        validate_metadata([*MANIFESTS, misspelt])


def test_wrong_value_is_refused() -> None:
    """Types, and the values that an enumeration has."""
    vhost = copy.deepcopy(of_kind("Vhost")["proj"])
    vhost["spec"]["defaultQueueType"] = "qourum"

    with pytest.raises(ValidationError):
        validate(vhost)


def test_scaler_and_its_login_have_only_parameters_that_keda_reads() -> None:
    """The schema of a ScaledObject takes any; KEDA publishes those of each scaler apart."""
    (trigger,) = of_kind("ScaledObject")["worker"]["spec"]["triggers"]
    login = dict.fromkeys(places(MANIFESTS, "parameter"), "")

    Draft4Validator(SCHEMAS["rabbitmq metadata"]).validate(trigger["metadata"])
    Draft4Validator(SCHEMAS["rabbitmq parameter"]).validate(login)
    with pytest.raises(ValidationError):
        Draft4Validator(SCHEMAS["rabbitmq metadata"]).validate({**trigger["metadata"], "queueNames": "task_queue"})
