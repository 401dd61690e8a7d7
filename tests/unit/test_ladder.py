"""The import ladder: a module of proj imports only from rows above its own, or from its own folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import proj

ROOT = Path(proj.__file__).parent

#: From the top down. A module may import from any row above its own; rooms of one row never import each other.
LADDER = (
    {"errors", "service"},
    {"dots", "queues", "environment"},
    {"broker"},
    {"journal"},
    {"metrics"},
    {"report"},
    {"dispatch", "delivery", "dashboard", "doctor"},
    {"messaging"},
    {"celery"},
    {"tasks"},
    {"lab"},
    {"commands"},
)
#: Which room alone may know a foreign library.
ALONE = {
    "subprocess": "lab",
    "psutil": "lab",
    "rich": "commands",
    "flower": "dashboard",
    "tornado": "dashboard",
    "prometheus_client": "dashboard",
}

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
#: What a browser is given: it has no docstring and imports nothing.
ASSETS = sorted(path for path in ROOT.rglob("*") if path.suffix in {".css", ".js"})


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The dotted names that the file imports at run time, wherever in it they stand."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def row(name: str) -> int:
    return next(number for number, rooms in enumerate(LADDER) if name in rooms)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_above_itself_or_its_own_room(path: Path) -> None:
    """No import points up or sideways, so that every module can be understood from those above it."""
    own = room(path)

    others = {name.split(".")[1] for name in imports(path) if name.startswith("proj.")} - {own}

    assert {other for other in others if row(other) >= row(own)} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_foreign_library_is_known_by_one_room_alone(path: Path) -> None:
    """What knows rich, psutil, subprocesses or Flower can be found without a search."""
    known = {name.split(".")[0] for name in imports(path)}

    strangers = {name for name in known & ALONE.keys() if ALONE[name] != room(path)}

    assert strangers == set()


def test_package_itself_imports_nothing() -> None:
    """`import proj` costs nothing."""
    assert imports(ROOT / "__init__.py") == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_opens_with_one_sentence_and_stays_small(path: Path) -> None:
    """A file says in its first line what it owns, and never grows beyond 400 lines."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert docstring.split("\n\n")[0].endswith((".", ":"))
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: str(path.relative_to(ROOT)))
def test_script_or_style_opens_with_one_sentence_and_stays_small(path: Path) -> None:
    """What holds for a module holds for what a browser is given."""
    first, *others = path.read_text().splitlines()

    assert re.fullmatch(r"// .*\.|/\* .*\. \*/", first)
    assert len(others) < 400
