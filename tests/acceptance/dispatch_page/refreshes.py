"""How long a refresh of the view Now takes in Chromium, with 30 queues and 50 workers of which all change."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.acceptance import now_scenes
from tests.acceptance.chromium import browser
from tests.acceptance.dispatch_server import refreshed, serving, visit

TIMES = 30


def main() -> None:
    """Print the times."""
    with serving() as server, tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        said = server.monitor.now_said = json.loads(now_scenes.document(now_scenes.many()))
        tab.look(width=1440)
        visit(tab, server.url)
        drawn, whole = [], []
        for _ in range(TIMES):
            for one in (*said["queues"], *said["workers"]):
                one["done_per_s"] += 1
            refreshed(tab)
            drawn.append(tab.value("projDispatch.lastDrawMs"))
            whole.append(tab.value("projDispatch.lastRefreshMs"))
    for what, times in (("drawing", drawn), ("from the request to the drawing", whole)):
        sys.stdout.write(f"{what}: median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms\n")


if __name__ == "__main__":
    main()
