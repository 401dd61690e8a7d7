"""An environment into which the wheel of this checkout is installed, as a user installs it beside an app of theirs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard

ROOT = Path(__file__).parents[2]
#: What a build of the project reads besides the package.
SOURCES = ("LICENSE", "README.md", "celeryconfig.py", "pyproject.toml")
#: Seconds that a command may take on a busy machine.
TIMEOUT_S = 120


class Installed:
    """A virtual environment with the wheel; what the wheel depends on comes from the environment of the tests."""

    def __init__(self, folder: Path) -> None:
        """Build the wheel, make the environment and install into it, all below `folder`."""
        source = folder / "source"
        shutil.copytree(ROOT / "proj", source / "proj", symlinks=True)
        for name in SOURCES:
            shutil.copy(ROOT / name, source)
        self._run_pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
        (self.wheel,) = folder.glob("*.whl")
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        packages = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
        self._run_pip("install", "--no-index", "--target", str(packages), str(self.wheel))
        # The `.pth` files there are not read, so the editable installation of this checkout is not found.
        there = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in there))

    def _run_pip(self, command: str, *words: str) -> None:
        pip = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-deps", *words]
        subprocess.run(pip, check=True, timeout=TIMEOUT_S)

    def names(self) -> list[str]:
        """The files of the wheel."""
        with ZipFile(self.wheel) as wheel:
            return wheel.namelist()

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a process, without a path of the tests."""
        return child_environment(**{"PYTHONPATH": "", **variables})

    def run(self, *words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with these words to its end."""
        return subprocess.run(
            [self.python, *words],
            env=self.environment(**variables),
            cwd=cwd or self.python.parent,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def process(self, name: str, *words: str, cwd: Path, guard: Guard, **variables: str) -> Process:
        """A process of Python with these words, which is not started yet."""
        return Process(
            name,
            # A process of the lab stands in the guard's folder; a user stands where the app is.
            ["sh", "-c", 'cd "$0" && exec "$@"', str(cwd), str(self.python), *words],
            guard=guard,
            environment=self.environment(**variables),
            log=cwd / f"{name}.log",
        )
