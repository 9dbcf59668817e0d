"""How the records of share groups stand, in the share-partitions whose home is this broker: read from memory when somebody asks.

Only here is it known: what is in hand is not stored. So a share-partition that nobody has fetched since this broker has its leader is not told
of. Nor are those beyond `PARTITIONS_MAX` in one look, the ones that were claimed last. Windows are looked at in portions, so that the
loop goes on with requests between them.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from moldau.coordination.share.deliveries import Deliveries, count_deliveries

if TYPE_CHECKING:
    from .broker import Broker

PARTITIONS_MAX = 1_000
_PORTION_RUNS = 10_000
"""Some 1.5 ms."""
_HOME_RUNS = 50
"""What a share-partition costs beside its window, in runs; 1,000 of them with short windows take 7 ms."""


class ShareState(NamedTuple):
    """One share-partition. Its window is what lies between the offsets; from `end_offset` on nothing was delivered yet.

    `owner_epoch` rises with each broker that takes the share-partition over: of two that tell of it the higher one is right.
    """

    group: str
    topic: str
    partition: int
    owner_epoch: int
    start_offset: int
    end_offset: int
    deliveries: Deliveries


class ShareStates(NamedTuple):
    """By group, topic and partition; and how many more there are."""

    rows: list[ShareState]
    left_out: int


async def look_at_shares(broker: Broker, group: str | None = None) -> ShareStates:
    """Those of one group, or of all."""
    homes = [home for home in broker.shares.homes if group is None or home.key.group == group]
    rows = []
    runs = 0
    for home in islice(homes, PARTITIONS_MAX):
        topic = broker.catalog.by_id.get(home.key.topic_id)
        if topic is None or home.code:  # gone meanwhile
            continue
        partition = home.partition
        deliveries = count_deliveries(partition.runs)
        rows.append(
            ShareState(
                home.key.group,
                topic.name,
                home.key.partition,
                home.row.owner_epoch,
                partition.start,
                partition.end,
                deliveries,
            )
        )
        runs += _HOME_RUNS + len(partition.runs)
        if runs >= _PORTION_RUNS:
            runs = 0
            await asyncio.sleep(0)
    rows.sort(key=lambda row: row[:3])
    return ShareStates(rows, max(len(homes) - PARTITIONS_MAX, 0))
