"""The generated pages are fresh, and say every key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from moldau.broker.config.table import broker_keys, client_metrics_keys, group_keys, topic_keys

ROOT = Path(__file__).resolve().parents[3]


def test_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_key_is_on_the_page() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    tables = (broker_keys(), topic_keys(), group_keys(), client_metrics_keys())
    assert [name for table in tables for name in table if f"| `{name}` |" not in page] == []
