"""Which settings `-A proj` has: those of the checkout's own celeryconfig.py, wherever it is started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from tests.acceptance.conftest import Celery

ROOT = Path(__file__).parents[2]
#: Another project's settings; a worker of ours would consume that project's queue.
STRANGER = 'task_default_queue = "theirs"\nproj_dot_seconds = 7.0\n'


@pytest.mark.parametrize("on_the_path", [False, True], ids=["in the current folder", "on the path"])
def test_app_never_takes_the_celeryconfig_of_another_project(
    celery: Celery, tmp_path: Path, *, on_the_path: bool
) -> None:
    """Celery puts the current folder first on the path, where another project's file may be."""
    folder = tmp_path / "elsewhere" if on_the_path else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "celeryconfig.py").write_text(STRANGER)

    shown = celery("-A", "proj", "report", **({"PYTHONPATH": str(folder)} if on_the_path else {}))

    assert shown.returncode == 0, shown.stderr
    assert "task_default_queue: 'task_queue'" in shown.stdout
    assert "theirs" not in shown.stdout


def test_app_is_refused_where_another_package_of_its_name_is(tmp_path: Path) -> None:
    """The program `celery` finds ours before that of the current folder; its user means the other."""
    (tmp_path / "proj").mkdir()
    (tmp_path / "proj" / "celery.py").write_text('from celery import Celery\n\napp = Celery("proj")\n')

    refused = subprocess.run(
        [Path(sys.executable).with_name("celery"), "-A", "proj", "report"],
        env=child_environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 2
    assert "There is another package named proj" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_default_app_of_the_same_environment_does_not_get_our_settings(celery: Celery) -> None:
    """Celery's default loader imports `celeryconfig`; ours is not found, although the checkout is installed."""
    shown = celery("report")

    assert shown.returncode == 0, shown.stderr
    assert "task_queue" not in shown.stdout
    assert "proj_dot_seconds" not in shown.stdout


def test_edited_celeryconfig_of_a_checkout_takes_effect(celery: Celery, tmp_path: Path) -> None:
    """A user edits the file at the root of the checkout."""
    shutil.copytree(ROOT / "proj", tmp_path / "proj", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    before = (ROOT / "celeryconfig.py").read_text()
    (tmp_path / "celeryconfig.py").write_text(before.replace("result_expires = 3600", "result_expires = 1234"))

    shown = celery("-A", "proj", "report")

    assert shown.returncode == 0, shown.stderr
    assert "result_expires: 1234" in shown.stdout
