"""Template loader: loads the Dispatch page's template beside Flower's, and adds its tab to Flower's navigation."""

from __future__ import annotations

import logging
from pathlib import Path

from tornado.template import Loader, Template

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "templates"
#: Flower's template of the navigation.
NAVIGATION = "navbar.html"
#: Text in the last item on its left side, in every Flower since 2.0.1.
ANCHOR = "reverse_url('broker')"
TAB = """
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'dispatch' %} active{% end %}"
            href="{{ reverse_url('dispatch') }}"
            {% if active_tab == 'dispatch' %}aria-current="page"{% end %}>Dispatch</a>
        </li>"""


class TemplateLoader(Loader):
    """Loads a template from Flower's folder, or from ours if Flower has none of that name."""

    def _create_template(self, name: str) -> Template:
        flowers = Path(self.root) / name
        path = flowers if flowers.exists() else FOLDER / name
        source = path.read_text(encoding="utf-8")
        if name == NAVIGATION:
            source = add_tab(source)
        return Template(source, name=name, loader=self)


def add_tab(source: str) -> str:
    """The navigation with our tab after the broker's; unchanged, with a warning, if that item is not found."""
    before, anchor, after = source.partition(ANCHOR)
    item, end, rest = after.partition("</li>")
    if not anchor or not end:
        logger.warning(
            "Flower's navigation has no item for the broker, so the Dispatch tab cannot be added after it; the page is "
            "at /dispatch.",
            extra={"action": "tab_missing"},
        )
        return source
    return f"{before}{anchor}{item}{end}{TAB}{rest}"
