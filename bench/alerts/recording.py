"""What Prometheus scraped during the faults, for a test that lets promtool evaluate the rules over it."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

import yaml

from alerts.prometheus import RULES, STEP_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def recording(series: Sequence[Mapping[str, Any]], began: float, faults: Sequence[Mapping[str, Any]]) -> str:
    """The faults, and the series that the rules use in promtool's notation, as one element of a list in YAML.

    `began` is when the samples begin, in seconds since the epoch; the times of the faults become seconds after it.
    """
    rules = RULES.read_text()
    ends = max(float(value[0]) for one in series for value in one["values"])
    steps = round((ends - began) / STEP_S)
    used = {
        selector(one["metric"]): values(one["values"], began, steps)
        for one in series
        if one["metric"]["__name__"] in rules
    }
    found = [{**one, "struck": round(one["struck"] - began)} for one in faults]
    return yaml.safe_dump([{"faults": found, "series": used}], sort_keys=False, width=10_000)


def selector(labels: Mapping[str, str]) -> str:
    """The series as promtool reads it, without the labels of the scrape."""
    own = {name: text for name, text in labels.items() if name not in {"__name__", "instance", "job"}}
    return f"{labels['__name__']}{{{','.join(f'{name}={json.dumps(text)}' for name, text in own.items())}}}"


def values(samples: Sequence[tuple[float, str]], began: float, steps: int) -> str:
    """The samples in promtool's notation: of a row of the same value its first and how often it comes again.

    A series that was missing at a scrape ends there for Prometheus, and a missing sample alone does not say so.
    """
    known = {round((float(at) - began) / STEP_S): f"{float(text):.6g}" for at, text in samples}
    texts = [known.get(step, "stale" if step - 1 in known else "_") for step in range(steps + 1)]
    runs = [(text, len(list(same))) for text, same in groupby(texts)]
    return " ".join(
        f"_x{count}" if text == "_" else text if count == 1 else f"{text}x{count - 1}" for text, count in runs
    )
