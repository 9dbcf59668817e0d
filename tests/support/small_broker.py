"""`moldau serve` whose thresholds are small, so that in a second it does everything that takes hours otherwise.

Run as a program; its arguments are those of `moldau`.
"""

from __future__ import annotations

from moldau.broker import upkeep
from moldau.cli.main import main
from moldau.log import maintenance, wal


def shrink() -> None:
    """For the whole process."""
    wal.ROLL_BYTES = 600_000
    maintenance.GARBAGE_AGE_MS = 20
    maintenance.GRACE_MS = 20
    upkeep._TICK_SECONDS = 0.02


if __name__ == "__main__":
    shrink()
    main()
