"""The Dispatch page of a real dashboard, while real workers work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.waiting import wait_until
from proj.lab.runs.mode_race import ModeRace, RacePlan
from proj.lab.runs.workload import odd_heavy
from tests.acceptance.chromium import browser
from tests.acceptance.dispatch_server import text

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

MODES = ("round-robin", "fair", "adaptive")


def test_page_follows_a_running_comparison(guard: Guard, broker: Broker, tmp_path: Path) -> None:
    """Real workers in three modes, real events and the real dashboard: the page follows within seconds."""
    # Long enough for the page to show all modes at work, also on a busy machine.
    plan = RacePlan(messages=odd_heavy(8), dot_seconds=0.2)
    flower = FlowerProcess(guard, broker_url=broker.url(), management_url=broker.management_url)
    with browser(tmp_path) as tab, flower, ModeRace(plan, broker=broker, guard=guard) as race:
        flower.wait_until_ready(flower.answers, timeout_s=60)
        tab.look()
        tab.visit(flower.page)
        race.publish()
        cards = {
            mode: f"[...document.querySelectorAll('.dispatch-group')].find((one) => "
            f"one.querySelector('.dispatch-queue').textContent === 'task_queue.{mode}')"
            for mode in MODES
        }

        def card(mode: str) -> str:
            return str(tab.value(f"{cards[mode]}?.innerText ?? ''"))

        wait_until(lambda: all("so far" in card(mode) for mode in MODES), what="all modes on the page", timeout_s=60)
        wait_until(lambda: "Live · as of " in text(tab, "#dispatch-status"), what="a fresh page", timeout_s=60)
        tops = [tab.value(f"{cards[mode]}.getBoundingClientRect().top") for mode in MODES]
        assert len(set(tops)) == 1, tops
        wait_until(
            lambda: all(card(mode).startswith(f"{mode}\n") for mode in MODES), what="the dispatch modes", timeout_s=60
        )
        wait_until(race.finished, what="the end of all work", timeout_s=60)
        race.conclude()
        wait_until(lambda: "Complete" in text(tab, "#dispatch-status"), what="the end on the page", timeout_s=60)

        figures = {mode: re.search(r"(\d\.\d\d) times the ideal of \S+ s\n", card(mode)) for mode in MODES}
        assert all(re.search(r"slots in use\s+0 of 2\s+held\s+0\s+tasks\s+8", card(mode)) for mode in MODES)
        ratios = {mode: float(found[1]) for mode, found in figures.items() if found}
        assert ratios["round-robin"] > 1.5 > max(ratios["fair"], ratios["adaptive"])
        assert [mode for mode in MODES if "given back" in card(mode)] == ["adaptive"]
        tab.visit(f"{flower.url}/dispatch?window=all")
        wait_until(lambda: "adaptive-1" in text(tab, "#dispatch-workers"), what="the workers", timeout_s=60)
        # Round-robin was unfair, and the sentence says where; the others are in order.
        wait_until(
            lambda: "task_queue.round-robin" in text(tab, "#dispatch-verdict h2"), what="a verdict", timeout_s=60
        )
        wait_until(
            lambda: text(tab, "[data-group=queues-fine]") == "In order (2)", what="the other queues", timeout_s=60
        )
        assert tab.complaints == []
        assert [address for address in tab.requests if not address.startswith((flower.url, "data:image/"))] == []
