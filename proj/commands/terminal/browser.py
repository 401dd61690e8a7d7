"""Opens a page in the user's browser, when there is one that does not take over the terminal."""

from __future__ import annotations

import os
import threading
import webbrowser

#: Seconds after which a browser that still runs is taken to show the page; one that fails ends at once.
PATIENCE_S = 2.0


def opened(url: str) -> bool:
    """Open the page with the command in BROWSER, else with the desktop's browser; whether it was opened."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # Without a desktop, Python opens a browser for terminals, but the command needs the terminal.
    if type(browser) is webbrowser.GenericBrowser and "BROWSER" not in os.environ:
        return False
    answers: list[bool] = []
    # A command in BROWSER may run until its window is closed.
    opener = threading.Thread(target=lambda: answers.append(browser.open(url)), name="browser", daemon=True)
    opener.start()
    opener.join(PATIENCE_S)
    return all(answers)
