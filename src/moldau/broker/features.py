"""Features (KIP-584, KIP-1022): which levels this release serves, and which are finalized in the cluster.

`metadata.version` says to tools what a cluster of Kafka 4.x can do; levels are Kafka's. `transaction.version` says to clients which kind of
transactions to use: 2 is that of KIP-890, below they use the first. Both kinds are served at every level, so it may change while clients run.
`group.version` 1 is the consumer group protocol of KIP-848. `share.version` 0 turns share groups off: their APIs answer UNSUPPORTED_VERSION;
2 allows dead-letter topics (KIP-1191), whose states older releases cannot read.
`streams.version` 1 allows streams groups (KIP-1071), whose records older releases cannot read.
Features of work that is not done yet are absent.

Brokers raise a level in step. Each registers what it serves; a level changes in one transaction that looks at every live broker; and a broker that does
not serve what is finalized does not start, or ends. A new cluster, and a broker that is alone with its data directory, begins with the highest levels;
in a cluster that is older than a feature it has no level until somebody gives it one (`moldau cluster upgrade`, `kafka-features.sh`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from moldau.cluster.pulse import GONE_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from moldau.metadata.rows import BrokerRow

METADATA, TRANSACTION = "metadata.version", "transaction.version"
GROUP, SHARE, STREAMS = "group.version", "share.version", "streams.version"
DEAD_LETTERS = 2
"""From this level of `share.version` on share groups may have dead-letter topics."""
SUPPORTED: dict[str, tuple[int, int]] = {
    METADATA: (7, 30),
    TRANSACTION: (0, 2),
    GROUP: (0, 1),
    SHARE: (0, 2),
    STREAMS: (0, 1),
}
"""Name to (lowest, highest) level: the one table of what this release serves. 7 is 3.3-IV3, 30 is 4.3-IV0."""

_UNSAID: dict[str, tuple[int, int]] = {METADATA: (7, 30), TRANSACTION: (0, 2)}
"""What a broker serves that registered without saying so: releases from before they did."""
_UNSTORED: dict[str, int] = {METADATA: 30, TRANSACTION: 2}
"""Levels of a store that has none: those releases did not store what a cluster began with."""
_OFF = -1
"""How a store keeps level 0: without a level it would be as in the line above."""


def at_first() -> dict[str, int]:
    """The levels of a new cluster, as a store keeps them."""
    return {name: high for name, (_, high) in SUPPORTED.items()}


def finalized(stored: Mapping[str, int]) -> dict[str, int]:
    """The finalized levels. Those of level 0 are absent, as in Kafka."""
    return {name: level for name, level in {**_UNSTORED, **stored}.items() if level > 0}


def stored(level: int) -> int:
    """The level as the store keeps it."""
    return level or _OFF


def streams_groups(stored: Mapping[str, int]) -> bool:
    """Whether all brokers serve streams groups."""
    return stored.get(STREAMS, 0) > 0


def transaction_version(stored: Mapping[str, int]) -> int:
    """0, 1 or 2."""
    return finalized(stored).get(TRANSACTION, 0)


# -- brokers ------------------------------------------------------------------------------------------------------------


def packed() -> str:
    """What this release serves, for the broker's row."""
    return json.dumps(SUPPORTED, sort_keys=True)


def unable(row: BrokerRow, name: str, level: int) -> str | None:
    """Why that broker cannot serve the level, in words; None: it can, or it does not live any more."""
    if row.age_ms >= GONE_MS:
        return None
    ranges = {key: tuple(value) for key, value in json.loads(row.features).items()} if row.features else _UNSAID
    low, high = ranges.get(name, (0, 0))
    if low <= level <= high:
        return None
    serves = f"serves {name} {low} to {high}, not {level}" if high else f"knows no {name}"
    return f"broker {row.node_id} (release {row.release}) {serves}"


def first_unable(rows: Iterable[BrokerRow], name: str, level: int) -> str | None:
    """The first broker that cannot serve the level, as `unable` has it."""
    return next((why for row in rows if (why := unable(row, name, level)) is not None), None)


def too_new(stored: Mapping[str, int]) -> str | None:
    """Why this release cannot be a broker of a cluster with those levels, in words; None: it can."""
    for name, level in sorted(finalized(stored).items()):
        low, high = SUPPORTED.get(name, (0, 0))
        if not low <= level <= high:
            serves = f"serves {low} to {high}" if high else "does not know it"
            return (
                f"the cluster has {name} at level {level}, and this release {serves}: start the release that raised it, or a newer one;"
                f" or lower it there first (kafka-features.sh downgrade --feature {name}={high})"
            )
    return None


def group_version(stored: Mapping[str, int]) -> int:
    """0 or 1: whether there are consumer groups."""
    return max(stored.get(GROUP, 0), 0)


def share_version(stored: Mapping[str, int]) -> int:
    """0 to 2: whether there are share groups, and whether they may have dead-letter topics."""
    return max(stored.get(SHARE, 0), 0)
