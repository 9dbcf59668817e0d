"""Which tests run beside which, with `pytest -n 2`: a file stays in one process, since its tests share brokers; the longest files begin first.

A file of `PARTS` is split by the parameters that its tests share brokers by.
"""

from __future__ import annotations

from typing import Any

import pytest

DIFFERENTIAL = "tests/differential/test_differential.py"
PARTS = {DIFFERENTIAL: ("alone", "shared stores", "three")}
LONG = (
    f"{DIFFERENTIAL}[three]",
    "tests/e2e/test_workers.py",
    "tests/e2e/test_flights.py",
    "tests/e2e/test_cluster.py",
    "tests/e2e/test_transactions.py",
    "tests/e2e/test_maintained_broker.py",
    "tests/e2e/test_histories.py",
    "tests/e2e/test_copier.py",
    "tests/e2e/test_backup.py",
    "tests/e2e/test_docs.py",
    "tests/e2e/test_damage.py",
    "tests/e2e/test_client_groups.py",
    f"{DIFFERENTIAL}[shared stores]",
    "tests/e2e/test_compaction.py",
    "tests/e2e/test_migrate.py",
    "tests/e2e/test_kill_points.py",
    "tests/e2e/test_cli_commands.py",
    "tests/e2e/test_dev_cluster.py",
    "tests/e2e/test_serve.py",
    "tests/e2e/test_power_cuts.py",
    "tests/e2e/test_client_matrix.py",
    "tests/e2e/test_console_programs.py",
    "tests/contract/test_postgres_stores.py",
    "tests/contract/test_postgres_concurrency.py",
    "tests/contract/test_postgres_transactions.py",
    f"{DIFFERENTIAL}[alone]",
)
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
