"""The in-memory group store keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from group_store import *  # noqa: F403

from moldau.metadata.memory_groups import MemoryGroupStore


@pytest.fixture
def store() -> Callable[[], MemoryGroupStore]:
    kept = MemoryGroupStore()
    return lambda: kept
