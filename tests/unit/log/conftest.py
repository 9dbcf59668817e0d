"""Every job is tried on both kinds of stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.stores import memory_opener, sqlite_opener


@pytest.fixture(params=["memory", "sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return memory_opener() if request.param == "memory" else sqlite_opener(tmp_path)
