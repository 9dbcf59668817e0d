"""Features (KIP-584, KIP-1022): which levels this release supports, and which are finalized in the cluster.

`metadata.version` says to tools what a cluster of Kafka 4.x can do; levels are Kafka's. `transaction.version` says to clients which kind of
transactions to use: 2 is that of KIP-890, below they use the first. Both kinds are served at every level, so it may change while clients run. `group.version` 1 is the consumer group protocol of KIP-848.
Features of work that is not done yet are absent.
"""

from __future__ import annotations

METADATA, TRANSACTION, GROUP = "metadata.version", "transaction.version", "group.version"
SUPPORTED: dict[str, tuple[int, int]] = {METADATA: (7, 30), TRANSACTION: (0, 2), GROUP: (0, 1)}
"""Name to (lowest, highest) level. 7 is 3.3-IV3, 30 is 4.3-IV0."""

_AT_FIRST: dict[str, int] = {METADATA: 30, TRANSACTION: 2, GROUP: 1}
_OFF = -1
"""How a store keeps level 0: without a level a feature is as in a new cluster."""


def finalized(stored: dict[str, int]) -> dict[str, int]:
    """The finalized levels: what was set, else what a new cluster begins with. Those of level 0 are absent, as in Kafka."""
    return {name: level for name, level in {**_AT_FIRST, **stored}.items() if level > 0}


def stored(level: int) -> int:
    """The level as the store keeps it."""
    return level or _OFF


def transaction_version(stored: dict[str, int]) -> int:
    """0, 1 or 2."""
    return finalized(stored).get(TRANSACTION, 0)


def group_version(stored: dict[str, int]) -> int:
    """0 or 1: whether there are consumer groups."""
    return finalized(stored).get(GROUP, 0)
