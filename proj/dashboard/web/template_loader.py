"""The templates of the page beside Flower's, and the tab in Flower's navigation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tornado.template import Loader, Template

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "templates"
#: Flower's own file, into which the tab goes.
NAVIGATION = "navbar.html"
#: What stands in its last item on the left, in every Flower since 2.0.1.
ANCHOR = "reverse_url('broker')"
TAB = """
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'dispatch' %} active{% end %}"
            href="{{ reverse_url('dispatch') }}"
            {% if active_tab == 'dispatch' %}aria-current="page"{% end %}>Dispatch</a>
        </li>"""


class TwoFolders(Loader):
    """Flower's templates, and those of the page under names that Flower does not have."""

    def __init__(self, root_directory: str, **options: Any) -> None:  # noqa: ANN401 Tornado's own
        """Look into Flower's folder first."""
        super().__init__(root_directory, **options)

    def _create_template(self, name: str) -> Template:
        flowers = Path(self.root) / name
        path = flowers if flowers.exists() else FOLDER / name
        source = path.read_text(encoding="utf-8")
        if name == NAVIGATION:
            source = add_tab(source)
        return Template(source, name=name, loader=self)


def add_tab(source: str) -> str:
    """The navigation's source with our tab after the broker's; without it, and a warning, where that is not found."""
    before, anchor, after = source.partition(ANCHOR)
    item, end, rest = after.partition("</li>")
    if not anchor or not end:
        logger.warning("This Flower's navigation is not known, so it has no Dispatch tab; the page is at /dispatch.")
        return source
    return f"{before}{anchor}{item}{end}{TAB}{rest}"
