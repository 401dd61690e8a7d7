"""Pictures of the view Now in six states, drawn by Chromium into docs/now: a desktop, and a phone in the dark."""

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


def small(tab: Tab) -> bytes:
    """A picture of the tab as PNG with a palette, which has half the bytes."""
    whole = base64.b64encode(tab.screenshot()).decode()
    made = tab.value(f"({PALETTE.read_text().rstrip()})({json.dumps(whole)})")
    width, height, pixels = made["width"], made["height"], base64.b64decode(made["pixels"])
    lines = b"".join(b"\0" + pixels[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", header), (b"PLTE", bytes(made["palette"])), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DOCS, help="where the pictures go (docs/now)")
    parser.add_argument("--all", action="store_true", help="both widths, in light and dark")
    options = parser.parse_args()
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
                picture.write_bytes(small(tab))
                sys.stdout.write(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
