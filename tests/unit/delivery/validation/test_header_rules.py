"""The rules for headers, and their short cut for the values that most headers have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proj.delivery.validation.header_rules import FORBIDDEN, RULES, header_fault, id_fault
from tests.hostility import VALUES

NAMES = st.sampled_from([*RULES, "task", "id", "colour", "get", "__class__"]) | st.binary(max_size=3)


def is_proper(name: object, value: object) -> bool:
    """The rules, one by one."""
    if not isinstance(name, str) or name in FORBIDDEN:
        return False
    return value is None or name not in RULES or RULES[name][0](value)


@given(st.dictionaries(NAMES, VALUES | st.floats() | st.just([None, None]), max_size=4))
def test_headers_have_a_fault_when_one_of_them_breaks_its_rule(headers: dict[Any, Any]) -> None:
    """Whatever their types are."""
    assert (header_fault(headers) is None) == all(is_proper(*item) for item in headers.items())


def test_no_header_with_a_rule_has_a_forbidden_name() -> None:
    """The short cut does not look whether a name is forbidden."""
    assert FORBIDDEN.isdisjoint({*RULES, "task", "id"})


@pytest.mark.parametrize(
    ("task_id", "is_long"),
    [("x" * 63, False), ("x" * 255, False), ("x" * 256, True), ("é" * 127, False), ("é" * 128, True)],
)
def test_id_is_measured_in_bytes(task_id: str, *, is_long: bool) -> None:
    """It is an AMQP short string."""
    assert (id_fault({"id": task_id}) is not None) == is_long


@pytest.mark.parametrize(("value", "is_proper"), [(0, True), (1, True), (False, True), (2, False), (0.0, False)])
def test_yes_and_no_may_be_numbers(value: object, *, is_proper: bool) -> None:
    """Stock Celery runs a message of another client with `ignore_result=0`."""
    assert (header_fault({"ignore_result": value}) is None) == is_proper
