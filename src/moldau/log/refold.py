"""The check of a snapshot: the extents below it that are still there, folded again, must not contradict it (property 2)."""

from __future__ import annotations

from moldau.metadata.rows import Extent, PartitionState

from . import snapshot
from .producer_state import Producer, ProducerStates
from .snapshots import fold_into


class Refold:
    """`add` every extent of the partition in order, then ask for `problems`."""

    def __init__(self, state: PartitionState) -> None:
        """Raises ValueError for a snapshot that cannot be read."""
        self._snapshot_offset = state.snapshot_offset
        self._said = snapshot.unpack(state.snapshot)
        self._expired_before = snapshot.expired_before(state.snapshot)
        self._states = ProducerStates()
        self._begins = -1
        self._appended_at = 0
        # producer id -> its last batch is surely not older than this: a merged row has only the time of its last extent
        self._not_before: dict[int, int] = {}

    def add(self, extent: Extent) -> None:
        """The next extent; those that reach beyond the snapshot are not part of it."""
        if self._begins < 0:
            self._begins = extent.base_offset
        if extent.last_offset >= self._snapshot_offset:
            return
        if extent.fold:
            before = {producer_id: len(p.batches) for producer_id, p in self._states.by_id.items()}
            fold_into(self._states, [extent], 0)
            for producer_id in self._states.by_id:
                if producer_id not in before or self._states.by_id[producer_id].appended_at == extent.appended_at:
                    self._not_before[producer_id] = min(self._appended_at, extent.appended_at)
        self._appended_at = extent.appended_at

    def problems(self) -> list[str]:
        """Where snapshot and extents differ."""
        found = []
        for producer_id, refolded in self._states.by_id.items():
            said = self._said.by_id.get(producer_id)
            if said is None:
                if self._not_before[producer_id] >= self._expired_before:
                    found.append(f"producer {producer_id} is missing")
            elif _batches(said, self._begins) != _batches(refolded, self._begins) or said.epoch != refolded.epoch:
                found.append(f"producer {producer_id} is not what the extents say")
        return found


def _batches(producer: Producer, begins: int) -> list[tuple[int, int, int, int]]:
    """What extents that begin at `begins` can know."""
    return [
        (batch.first_sequence, batch.last_sequence, batch.base_offset, batch.last_offset)
        for batch in producer.batches
        if batch.base_offset >= begins
    ]
