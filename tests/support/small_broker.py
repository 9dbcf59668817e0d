"""`moldau serve` whose thresholds are small, so that in a second it does everything that takes hours otherwise.

Run as a program; its arguments are those of `moldau`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moldau.blobs import spares
from moldau.broker import upkeep
from moldau.broker.options import Options
from moldau.cli.main import main
from moldau.log import journal, wal
from moldau.log.collection import Collector


def shrink(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """For the whole process; `put` may be pytest's `monkeypatch.setattr`."""
    put(wal, "ROLL_BYTES", 600_000)
    put(spares, "LEAST_BYTES", 10_000)
    put(spares, "ROOM", 0)
    put(journal, "APPLY_SECONDS", 0.02)
    put(upkeep, "_TICK_SECONDS", 0.02)
    put(upkeep, "_SWEEP_SECONDS", 0.05)
    put(Collector.__init__, "__defaults__", (20, 20, 1 << 60))


def options() -> Options:
    """For a broker in a thread: what is small already is moved and merged at once."""
    made = Options()
    made.tail_cache_bytes = 100_000
    made.retention_check_ms = 1
    made.segment_build_age_ms = 0
    made.inline_max_bytes = 1024
    made.segment_min_bytes, made.segment_max_bytes = 200_000, 400_000
    return made


if __name__ == "__main__":
    shrink()
    main()
