"""The check of a snapshot: the extents below it that are still there, folded again, must not contradict it (property 2)."""

from __future__ import annotations

from moldau.metadata.rows import Extent, PartitionState

from . import snapshot
from .producer_state import Producer, ProducerStates
from .snapshots import fold_into
from .transactions import AbortedRange


class Refold:
    """`add` every extent of the partition in order, then ask for `problems`."""

    def __init__(self, state: PartitionState, cleaned_to: int = 0) -> None:
        """`cleaned_to`: below it compaction has left nothing of what was aborted. Raises ValueError for a snapshot that cannot be read."""
        self._snapshot_offset = state.snapshot_offset
        self._told_from = max(state.row.log_start_offset, cleaned_to)
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
        return found + (self._open() + self._aborted() if self._begins >= 0 else [])

    def _open(self) -> list[str]:
        said, refolded = self._said.transactions.open, self._states.transactions.open
        found = []
        if list(said.values()) != sorted(said.values()):
            found.append("open transactions are out of order")
        for producer_id in dict.fromkeys((*said, *refolded)):
            first, again = said.get(producer_id, -1), refolded.get(producer_id, -1)
            # of a transaction that began below the first extent it may know a later batch, or none
            if first != again and not 0 <= first < self._begins:
                found.append(
                    f"the transaction of producer {producer_id} is open since {first}, the extents say {again}"
                )
        return found

    def _aborted(self) -> list[str]:
        found = []
        said = {(each.producer_id, each.last_offset): each for each in self._known(self._said)}
        refolded = {(each.producer_id, each.last_offset): each for each in self._known(self._states)}
        if list(self._said.transactions.aborted) != sorted(self._said.transactions.aborted, key=lambda each: each[2]):
            found.append("aborted ranges are out of order")
        for key in dict.fromkeys((*said, *refolded)):
            one, other = said.get(key), refolded.get(key)
            if one is None or (one.first_offset >= self._begins and not self._agree(one, other)):
                found.append(f"what producer {key[0]} aborted at {key[1]} is {one}, the extents say {other}")
        return found

    def _known(self, states: ProducerStates) -> list[AbortedRange]:
        missing = max(each.transactions.complete_from for each in (self._said, self._states))
        start = max(self._begins, self._told_from, missing)
        return [each for each in states.transactions.aborted if each.last_offset >= start]

    def _agree(self, said: AbortedRange, refolded: AbortedRange | None) -> bool:
        """A last stable offset below the first extent is that of a transaction which the extents do not know."""
        return refolded is not None and (said == refolded or (said[:3] == refolded[:3] and said[3] < self._begins))


def _batches(producer: Producer, begins: int) -> list[tuple[int, int, int, int]]:
    """What extents that begin at `begins` can know."""
    return [
        (batch.first_sequence, batch.last_sequence, batch.base_offset, batch.last_offset)
        for batch in producer.batches
        if batch.base_offset >= begins
    ]
