"""`celery -A anyapp queues pause` and `queues resume`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proj.user import whoami

if TYPE_CHECKING:
    from .conftest import Celery, Theirs


def test_pause_says_which_worker_cannot_follow_and_is_shown_until_resumed(
    celery: Celery, variables: dict[str, str], theirs: Theirs
) -> None:
    """Exit code 1: a worker without `install(app)` goes on consuming. A queue that does not exist is refused."""
    theirs.start("stock@x", answers=False)
    words = ("-A", "theirs", "queues")

    paused = celery(*words, "pause", "theirs", "--json", "--journal", "who.sqlite", **variables)
    drained = celery(*words, "halt", "--queue", "theirs", "--drain", **variables)
    shown = celery(*words, **variables)
    resumed = celery(*words, "resume", "theirs", **variables)
    after = celery(*words, "--json", **variables)
    audit = celery("-A", "theirs", "journal", "audit", "who.sqlite", "--offline", "--json", **variables)
    unknown = celery(*words, "pause", "thiers", **variables)

    assert paused.returncode == 1, paused.stderr
    outcome = json.loads(paused.stdout)
    assert (outcome["queue"], outcome["paused"]) == ("theirs", True)
    assert [(each["worker"], each["followed"]) for each in outcome["workers"]] == [("stock@x", False)]
    assert "install(app)" in outcome["workers"][0]["answer"]
    assert "theirs (paused)" in shown.stdout
    assert (drained.returncode, "theirs cannot run empty, because it is paused" in drained.stderr) == (1, True)
    (action,) = json.loads(audit.stdout)["actions"]
    assert (action["verb"], action["what"], action["who"]) == ("pause", "theirs", whoami())
    assert resumed.returncode == 0, resumed.stderr
    assert "theirs is not paused" in resumed.stderr
    assert {row["name"]: row["paused"] for row in json.loads(after.stdout)}["theirs"] is False
    assert unknown.returncode == 2
    assert "Did you mean 'theirs'?" in unknown.stderr
