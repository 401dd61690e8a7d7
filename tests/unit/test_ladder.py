"""The import ladder: a module of proj imports only from rows above its own, or from its own room."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import proj

ROOT = Path(proj.__file__).parent

#: For each folder that has rows of its own, its rooms from the top down. A module may import from any row above its
#: own; rooms of one row never import each other. `docs/architecture.md` shows the same.
LADDERS = {
    "": (
        {"printable"},
        {"errors", "interruption", "plural", "queues", "user"},
        {"service"},
        {"broker", "environment", "dots", "namesake"},
        {"journal", "settings"},
        {"metrics", "delivery"},
        {"report", "messaging", "celery"},
        {"dashboard", "tasks"},
        {"lab"},
        {"commands"},
    ),
    "delivery": (
        {"header_names", "broker_errors", "receivers", "serializers", "stock"},
        {"recovery", "pool"},
        {"shutdown"},
        {"unreadable_properties"},
        {"validation", "dead_letters", "dispatch", "pausing"},
        {"settings", "health"},
        {"publishing", "checked_settings", "topology"},
        {"results"},
        {"consuming"},
        {"worker_steps", "worker_name", "late_acknowledgement", "stage"},
        {"install", "send_many"},
    ),
    "lab": (
        {"processes", "rabbitmq", "definitions", "certificates"},
        {"epmd", "node_files", "plugin_folder"},
        {"broker"},
        {"cluster"},
        {"runs"},
        {"drills"},
        {"soak"},
    ),
    "lab/drills": ({"system"}, {"faults", "verdict"}, {"drill"}, {"run_drills"}),
    "dashboard": ({"live", "banner", "ending"}, {"prometheus"}, {"web"}, {"install"}, {"launch"}),
    "commands": (
        {"terminal"},
        {"health_table", "send_messages"},
        {"dashboard", "demo", "health", "journal", "lab", "queues", "send"},
    ),
}
#: Modules that a folder may hold besides its `__init__`: its list should be read at a glance.
MOST_MODULES = 16
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
FOLDERS = sorted({path.parent for path in MODULES})
#: What a browser is given: it has no docstring and imports nothing.
ASSETS = sorted(path for path in ROOT.rglob("*") if path.suffix in {".css", ".js"})


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(path: Path) -> str:
    return ".".join(("proj", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


BY_NAME = {dotted(path): path for path in MODULES}


def room(path: Path, folder: str = "") -> str:
    return path.relative_to(ROOT / folder).parts[0].removesuffix(".py")


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


def own_imports(path: Path) -> set[Path]:
    """The modules of proj that the file imports at run time."""
    known = {name if name in BY_NAME else name.rpartition(".")[0] for name in imports(path)}
    return {BY_NAME[name] for name in known if name in BY_NAME}


def row(folder: str, name: str) -> int:
    return next(number for number, rooms in enumerate(LADDERS[folder]) if name in rooms)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_imports_only_from_above_itself_or_its_own_room(path: Path) -> None:
    """No import points up or sideways, so that every module can be understood from those above it."""
    for folder in LADDERS:
        inside = ROOT / folder
        if not path.is_relative_to(inside) or path == inside / "__init__.py":
            continue
        own = room(path, folder)
        others = {room(other, folder) for other in own_imports(path) if other.is_relative_to(inside)} - {own}

        assert {other for other in others if row(folder, other) >= row(folder, own)} == set()


@pytest.mark.parametrize("folder", LADDERS)
def test_ladder_has_each_room_of_its_folder_once_and_no_other(folder: str) -> None:
    """A room that was added, renamed or taken away is so in the ladder too."""
    rooms = [name for rooms in LADDERS[folder] for name in rooms]

    there = {room(path, folder) for path in MODULES if path.is_relative_to(ROOT / folder)} - {"__init__"}

    assert sorted(rooms) == sorted(there)


def test_modules_import_each_other_in_no_circle() -> None:
    """Also within a room, where the ladder does not look."""
    graph = {path: own_imports(path) - {path} for path in MODULES}

    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_folder_holds_few_modules(folder: Path) -> None:
    """A folder's list can be read at a glance."""
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]

    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_foreign_library_is_known_by_one_room_alone(path: Path) -> None:
    """What knows rich, psutil, subprocesses or Flower can be found without a search."""
    known = {name.split(".")[0] for name in imports(path)}

    strangers = {name for name in known & ALONE.keys() if ALONE[name] != room(path)}

    assert strangers == set()


def test_package_itself_imports_nothing() -> None:
    """`import proj` costs nothing."""
    assert imports(ROOT / "__init__.py") == set()


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_module_opens_with_one_sentence_and_stays_small(path: Path) -> None:
    """A file says in its first line what it owns, and never grows beyond 400 lines."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""

    assert docstring.split("\n\n")[0].endswith((".", ":"))
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", ASSETS, ids=named)
def test_script_or_style_opens_with_one_sentence_and_stays_small(path: Path) -> None:
    """What holds for a module holds for what a browser is given."""
    first, *others = path.read_text().splitlines()

    assert re.fullmatch(r"// .*\.|/\* .*\. \*/", first)
    assert len(others) < 400
