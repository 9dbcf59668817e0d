"""Which tests run beside which, with `pytest -n 2`: a file stays in one process, since its tests share brokers; the longest files begin first.

A file of `PARTS` is split by the parameters that its tests share brokers by.
"""

from __future__ import annotations

from typing import Any

import pytest

DIFFERENTIAL = "tests/differential/test_differential.py"
PARTS = {DIFFERENTIAL: ("alone", "shared stores", "three")}
LONG: tuple[str, ...] = ()
"""Files, and parts of them, that take more than a few seconds: the longest first."""


def unit_of(nodeid: str) -> str:
    """What must stay together with that test."""
    path, _, test = nodeid.partition("::")
    part = next((part for part in PARTS.get(path, ()) if f"[{part}" in test), "")
    return f"{path}[{part}]" if part else path


def longest_first(items: list[pytest.Item]) -> None:
    """What is not in `LONG` comes last, in the order it had."""
    place = {unit: number for number, unit in enumerate(LONG)}
    items.sort(key=lambda item: place.get(unit_of(item.nodeid), len(LONG)))


def scheduler(config: pytest.Config, log: Any) -> Any:
    """For pytest-xdist: units in the order of their first tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return ByUnit(config, log)
