"""The user's browser: opened where there is one, and never in the way of the terminal."""

from __future__ import annotations

import os
import threading
import webbrowser

#: Seconds after which a browser that has not ended is taken to show the page; a command that fails does so at once.
PATIENCE_S = 2.0


def opened(url: str) -> bool:
    """Whether the page was opened: by what BROWSER says, else by the desktop's browser."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    # Python's last resort without a desktop is a browser for terminals; ours is taken already.
    if type(browser) is webbrowser.GenericBrowser and "BROWSER" not in os.environ:
        return False
    answers: list[bool] = []
    # A command that BROWSER names may last as long as its window.
    opener = threading.Thread(target=lambda: answers.append(browser.open(url)), name="browser", daemon=True)
    opener.start()
    opener.join(PATIENCE_S)
    return all(answers)
