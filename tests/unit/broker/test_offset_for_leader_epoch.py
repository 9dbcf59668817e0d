"""Where an epoch ended, of several partitions at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import run

from moldau.broker.api import offset_for_leader_epoch as module
from moldau.broker.partitions import PartitionError
from moldau.protocol.error_codes import FENCED_LEADER_EPOCH, NONE
from moldau.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

PARTITIONS = 12


def test_partitions_are_looked_at_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        asked: list[int] = []
        all_asked = asyncio.Event()

        async def view_of(broker: Any, name: str, index: int, epoch: int) -> Any:
            asked.append(index)
            if len(asked) == PARTITIONS:
                all_asked.set()
            await all_asked.wait()
            if epoch < 3:
                raise PartitionError(FENCED_LEADER_EPOCH)
            return SimpleNamespace(leader_epoch=3, high_watermark=100 + index)

        monkeypatch.setattr(module, "view_of", view_of)
        wanted = [
            OffsetForLeaderPartition(partition=index, current_leader_epoch=2 if index == 5 else 3, leader_epoch=3)
            for index in range(PARTITIONS)
        ]
        message = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic="t", partitions=wanted)])
        response = await asyncio.wait_for(module.handle(None, SimpleNamespace(message=message)), 5)  # type: ignore[arg-type]
        told = [(each.partition, each.error_code, each.end_offset) for each in response.topics[0].partitions]
        assert told == [
            (index, FENCED_LEADER_EPOCH, -1) if index == 5 else (index, NONE, 100 + index)
            for index in range(PARTITIONS)
        ]

    run(main())
