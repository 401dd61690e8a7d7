"""Keeps the part of the published schemas that covers the fields of our manifests; scripts/crds runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.unit.kubernetes.manifests import MANIFESTS, places

PUBLISHED = Path(__file__).parent / "published"
#: What else is kept of a schema, beside properties and items.
_KEYWORDS = (
    "type",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "required",
    "anyOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)


class Source(NamedTuple):
    """A repository with published schemas."""

    repository: str
    version: str
    licence: str
    #: The group of its kinds, and where their definitions are.
    group: str
    kinds: dict[str, str]


_BASES = "config/crd/bases"
_TOPOLOGY = {
    "Vhost": "vhosts",
    "User": "users",
    "Permission": "permissions",
    "Policy": "policies",
    "Exchange": "exchanges",
    "Queue": "queues",
    "Binding": "bindings",
}
SOURCES = (
    Source(
        "https://github.com/rabbitmq/cluster-operator",
        "v2.22.3",
        "MPL-2.0",
        "rabbitmq.com",
        {"RabbitmqCluster": f"{_BASES}/rabbitmq.com_rabbitmqclusters.yaml"},
    ),
    Source(
        "https://github.com/rabbitmq/messaging-topology-operator",
        "v1.20.1",
        "MPL-2.0",
        "rabbitmq.com",
        {kind: f"{_BASES}/rabbitmq.com_{plural}.yaml" for kind, plural in _TOPOLOGY.items()},
    ),
    Source(
        "https://github.com/kedacore/keda",
        "v2.20.2",
        "Apache-2.0",
        "keda.sh",
        {
            "ScaledObject": f"{_BASES}/keda.sh_scaledobjects.yaml",
            "TriggerAuthentication": f"{_BASES}/keda.sh_triggerauthentications.yaml",
        },
    ),
)
#: KEDA's own description of what each of its scalers reads.
_SCALERS = "schema/generated/scalers-schema.yaml"


def keep(clones: Path) -> None:
    """Write a file for each repository, of which `clones` has a clone under its name."""
    for source in SOURCES:
        name = source.repository.rpartition("/")[2]
        schemas = {}
        for kind, path in source.kinds.items():
            used = [each for each in MANIFESTS if each["kind"] == kind and each["apiVersion"].startswith(source.group)]
            for version in yaml.safe_load(_file(clones / name, source.version, path))["spec"]["versions"]:
                if instances := [each for each in used if each["apiVersion"].endswith(f"/{version['name']}")]:
                    schema = version["schema"]["openAPIV3Schema"]
                    schemas[f"{source.group}/{version['name']} {kind}"] = kept(schema, instances)
        if source.group == "keda.sh":
            schemas.update(_scaler(yaml.safe_load(_file(clones / name, source.version, _SCALERS))))
        about = {
            "source": source.repository,
            "version": source.version,
            "licence": source.licence,
            "note": "Only the fields that deploy/kubernetes has. Made by scripts/crds.",
        }
        (PUBLISHED / f"{name}.json").write_text(json.dumps({**about, "schemas": schemas}, indent=1) + "\n")


def kept(schema: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """The part of a schema that covers the values; it refuses every field that they do not have."""
    part = {keyword: schema[keyword] for keyword in _KEYWORDS if keyword in schema}
    if "items" in schema:
        part["items"] = kept(schema["items"], [item for value in values for item in value])
    if isinstance(schema.get("additionalProperties"), dict):
        inner = [each for value in values for each in value.values()]
        part["additionalProperties"] = kept(schema["additionalProperties"], inner)
    if "properties" in schema:
        names = {name for value in values for name in value} | set(schema.get("required", ()))
        part["properties"] = {
            name: kept(inner, [value[name] for value in values if name in value])
            for name, inner in sorted(schema["properties"].items())
            if name in names
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            part["additionalProperties"] = False
    return part


def _scaler(published: dict[str, Any]) -> dict[str, Any]:
    """What KEDA's scaler for RabbitMQ reads from the trigger, and from the TriggerAuthentication."""
    scalers = published["scalers"]
    (rabbitmq,) = [each for each in scalers if each["type"] == "rabbitmq"]
    parts = {}
    for place, mark in (
        ("metadata", "metadataVariableReadable"),
        ("parameter", "triggerAuthenticationVariableReadable"),
    ):
        used = {name for each in places(MANIFESTS, "triggers") for name in each[0]["metadata"]}
        if place == "parameter":
            used = {name for each in places(MANIFESTS, "secretTargetRef") for name in places(each, "parameter")}
        names = [each["name"] for each in rabbitmq["parameters"] if each.get(mark) and each["name"] in used]
        parts[f"rabbitmq {place}"] = {
            "type": "object",
            "properties": {name: {"type": "string"} for name in sorted(names)},
            "additionalProperties": False,
        }
    return parts


def _file(clone: Path, version: str, path: str) -> str:
    command = ["git", "-C", str(clone), "show", f"{version}:{path}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
