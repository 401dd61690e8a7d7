"""Pictures of the page for docs/, drawn by Chromium: the view Now in six states, and the view Race of a real demo."""

from __future__ import annotations

import argparse
import base64
import json
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from proj.lab.broker import Broker
from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.guard import Guard
from proj.lab.processes.waiting import wait_until
from proj.lab.runs.mode_race import ModeRace, RacePlan
from proj.lab.runs.workload import odd_heavy
from tests.acceptance import now_scenes
from tests.acceptance.chromium import browser
from tests.acceptance.dispatch_server import serving, visit

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab

PALETTE = Path(__file__).with_name("palette.js")
DOCS = Path(__file__).parents[3] / "docs" / "now"
#: The suffix of a picture, the width in pixels and the colour scheme.
LOOKS = (("", 1440, "light"), ("-phone", 390, "dark"))
#: The states that docs/dashboard.md shows on a phone, too.
ON_A_PHONE = ("unfair", "stuck", "losing")
ALL_LOOKS = tuple((f"-{width}-{scheme}", width, scheme) for width in (1440, 390) for scheme in ("light", "dark"))


def small(tab: Tab, picture: bytes) -> bytes:
    """The picture as PNG with a palette, which has half the bytes."""
    whole = base64.b64encode(picture).decode()
    made = tab.value(f"({PALETTE.read_text().rstrip()})({json.dumps(whole)})")
    width, height, pixels = made["width"], made["height"], base64.b64decode(made["pixels"])
    lines = b"".join(b"\0" + pixels[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", bytes(made["palette"])), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def draw_race() -> None:
    """Run the demo's workload, and draw the page when only round-robin still works."""
    with Guard() as guard, Broker(guard) as broker, tempfile.TemporaryDirectory() as folder:
        flower = FlowerProcess(guard, broker_url=broker.url(), management_url=broker.management_url)
        plan = RacePlan(messages=odd_heavy(20))
        with browser(Path(folder)) as tab, flower, ModeRace(plan, broker=broker, guard=guard) as race:
            flower.wait_until_ready(flower.hears, timeout_s=60)
            tab.look(width=1200, still=True)
            tab.visit(flower.page)
            race.publish()
            counts = "one.innerText.match(/tasks\\s+(\\d+)/)[1]"
            done = f"[...document.querySelectorAll('.dispatch-facts')].map((one) => {counts})"
            wait_until(lambda: tab.value(done) == ["18", "20", "20"], what="the end of two modes", timeout_s=60)
            end = tab.value(
                "document.querySelector('#dispatch-report section').getBoundingClientRect().bottom + scrollY"
            )
            clip = {"x": 0, "y": 0, "width": 1200, "height": end, "scale": 1}
            shot = tab.do("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            (DOCS.parent / "dispatch.png").write_bytes(small(tab, base64.b64decode(shot["data"])))


def draw_report(page: Path) -> None:
    """Draw the top of a report, down to the timelines."""
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        tab.look(width=985, still=True)
        tab.open(page.resolve())
        section = "document.querySelector('section[aria-label=\"Who did what, when\"]')"
        end = tab.value(f"{section}.getBoundingClientRect().bottom + scrollY")
        clip = {"x": 0, "y": 0, "width": 985, "height": end, "scale": 1}
        shot = tab.do("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        (DOCS.parent / "report.png").write_bytes(small(tab, base64.b64decode(shot["data"])))


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DOCS, help="where the pictures go (docs/now)")
    parser.add_argument("--all", action="store_true", help="both widths, in light and dark")
    parser.add_argument("--race", action="store_true", help="draw a demo near its end into docs/dispatch.png instead")
    parser.add_argument("--report", type=Path, metavar="PAGE", help="draw this page of `journal report` into docs/")
    options = parser.parse_args()
    if options.report:
        draw_report(options.report)
        return
    if options.race:
        draw_race()
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    with serving() as server, tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        for state, play in now_scenes.STATES.items():
            server.monitor.now_said = json.loads(now_scenes.document(play()))
            for suffix, width, scheme in ALL_LOOKS if options.all else LOOKS:
                if suffix == "-phone" and state not in ON_A_PHONE:
                    continue
                tab.look(width=width, scheme=scheme, still=True)
                visit(tab, server.url)
                tab.do("Emulation.setScrollbarsHidden", hidden=True)
                picture = options.folder / f"{state}{suffix}.png"
                picture.write_bytes(small(tab, tab.screenshot()))
                sys.stdout.write(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
