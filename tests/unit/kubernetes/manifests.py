"""The manifests of deploy/kubernetes, as Kubernetes gets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yml").read_text())
#: Every manifest that the kustomization names.
MANIFESTS: list[dict[str, Any]] = [
    manifest for name in KUSTOMIZATION["resources"] for manifest in yaml.safe_load_all((FOLDER / name).read_text())
]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """The manifests of a kind, by name."""
    return {manifest["metadata"]["name"]: manifest for manifest in MANIFESTS if manifest["kind"] == kind}


def identity(manifest: dict[str, Any]) -> str:
    """Kind and name, for the name of a test."""
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def pod(deployment: str) -> dict[str, Any]:
    """The pods of a deployment."""
    found: dict[str, Any] = of_kind("Deployment")[deployment]["spec"]["template"]
    return found


def container(deployment: str) -> dict[str, Any]:
    """The only container of the deployment's pods."""
    (found,) = pod(deployment)["spec"]["containers"]
    only: dict[str, Any] = found
    return only


def words(deployment: str) -> list[str]:
    """The command line of the container."""
    found = container(deployment)
    return [*found["command"], *found["args"]]


def option(deployment: str, name: str) -> str:
    """The value of an option of the command line, which is the word after it."""
    line = words(deployment)
    return line[line.index(name) + 1]


def places(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from places(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from places(inner, key)
