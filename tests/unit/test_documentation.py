"""The README and the pages of docs/: short enough to be read, and no link leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [README, *PAGES, ROOT / ".github" / "CONTRIBUTING.md"]
#: What a newcomer reads.
README_LINES = 200
COLUMNS = 120
#: What tells a user how to install something.
ADVISING = (
    "bench",
    "deploy",
    "docs",
    "examples",
    "proj",
    "scripts",
    ".github",
    "*.md",
    "*.toml",
    "*.yml",
    "Dockerfile",
)


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_fits_into_two_hundred_lines_of_a_hundred_and_twenty_columns() -> None:
    """A newcomer reads it to its end, also in a terminal."""
    lines = README.read_text().splitlines()

    assert len(lines) <= README_LINES
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    """A renamed page or heading takes its links along."""
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_page_opens_with_its_question_and_stands_in_the_readme(page: Path) -> None:
    """A reader finds the page by the question it answers."""
    title, _, opening = page.read_text().partition("\n\n")

    assert title.startswith("# ")
    question = re.match(r"\*(.+?\?)\*", opening.replace("\n", " "))
    assert question
    assert question[1] in README.read_text()


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda path: path.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """A file that was moved is named by its new path."""
    named = set(re.findall(r"`((?:bench|deploy|docs|examples|scripts|tests|proj)/[\w./-]+)`", page.read_text()))

    assert {name for name in named if not (ROOT / name.rstrip("/")).exists()} == set()


def test_log_records_that_the_page_of_operations_names_are_written() -> None:
    """Each under its name, and at its level."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    code = "\n".join(file.read_text() for file in (ROOT / "proj").rglob("*.py"))

    assert len(rows) == 10
    for action, level in rows:
        written = re.findall(r'logger\.(\w+)\((?:(?!logger\.)[\s\S])*?"action": "' + action + '"', code)
        assert set(written) == {level}, action


def test_nothing_advises_to_install_the_strangers_package_that_is_named_as_ours_is_imported() -> None:
    """`proj` on PyPI is another project: its extras are not ours, and its code would run."""
    named = [path for pattern in ADVISING for path in ROOT.glob(pattern)]
    files = [file for path in named for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file()]
    texts = {file: file.read_text() for file in files if file.suffix not in {".png", ".pyc"}}

    assert len(texts) > len(named)
    assert {file for file, text in texts.items() if re.search(r"\bproj\[[\w,]+\]", text)} == set()
    assert {file for file, text in texts.items() if re.search(r"pip install .*['\" ]proj\b(?!/)", text)} == set()
