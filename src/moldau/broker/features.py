"""Features (KIP-584, KIP-1022): which levels this release supports, and which are finalized in the cluster.

`metadata.version` says to tools what a cluster of Kafka 4.x can do; levels are Kafka's. Features of work that is not done yet are absent.
"""

from __future__ import annotations

SUPPORTED: dict[str, tuple[int, int]] = {"metadata.version": (7, 30)}
"""Name to (lowest, highest) level. 7 is 3.3-IV3, 30 is 4.3-IV0."""

_AT_FIRST: dict[str, int] = {"metadata.version": 30}


def finalized(stored: dict[str, int]) -> dict[str, int]:
    """The finalized levels: what was set, else what a new cluster begins with."""
    return {**_AT_FIRST, **stored}
