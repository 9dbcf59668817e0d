"""Lets the tests of this folder import `playbook` and `streams_play`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("playbook", "streams_play")
