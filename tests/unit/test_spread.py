"""Tests over several processes: what stays together, and what begins first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support import spread

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_is_one_unit_unless_its_tests_share_different_brokers() -> None:
    assert spread.unit_of("tests/e2e/test_cluster.py::test_x[a-three]") == "tests/e2e/test_cluster.py"
    assert spread.unit_of(f"{spread.DIFFERENTIAL}::test_answers[three-fetch]") == f"{spread.DIFFERENTIAL}[three]"
    assert spread.unit_of(f"{spread.DIFFERENTIAL}::test_x[shared stores]") == f"{spread.DIFFERENTIAL}[shared stores]"
    assert spread.unit_of(f"{spread.DIFFERENTIAL}::test_every_answer") == spread.DIFFERENTIAL


def test_the_longest_begin_and_the_rest_keeps_its_order() -> None:
    names = ["tests/b.py::one", spread.LONG[1] + "::x", "tests/a.py::one", spread.LONG[0] + "::x", "tests/b.py::two"]
    names[3] = f"{spread.DIFFERENTIAL}::test_answers[three-fetch]"
    items: list[Any] = [SimpleNamespace(nodeid=name) for name in names]
    spread.longest_first(items)
    assert [item.nodeid for item in items] == [names[3], names[1], names[0], names[2], names[4]]


def test_files_that_are_named_are_there() -> None:
    assert [unit for unit in spread.LONG if not (ROOT / unit.partition("[")[0]).exists()] == []
    assert all((ROOT / path).exists() for path in spread.PARTS)
