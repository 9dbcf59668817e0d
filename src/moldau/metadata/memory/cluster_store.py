"""`ClusterStore` in memory."""

from __future__ import annotations

from ..rows import ClusterRow
from .state import MemoryState


class MemoryClusterStore:
    """See `moldau.metadata.ports.ClusterStore`."""

    def __init__(self, state: MemoryState, format_version: int) -> None:
        self._state = state
        self._format_version = format_version

    async def load_cluster(self) -> ClusterRow:
        state = self._state
        return ClusterRow(state.cluster_id, self._format_version, dict(state.features), state.created_ms)

    async def set_feature(self, name: str, level: int) -> None:
        self._state.features[name] = level
        if not level:
            del self._state.features[name]

    async def start_broker(self, node_id: int, rack: str | None, listeners: str, release: str, now: int) -> int:
        incarnation = self._state.incarnations[node_id] = self._state.incarnations.get(node_id, 0) + 1
        return incarnation

    async def reserve_producer_ids(self, count: int) -> int:
        first = self._state.next_producer_id
        self._state.next_producer_id += count
        return first

    async def reserve_blob_block(self) -> int:
        block = self._state.next_blob_block
        self._state.next_blob_block += 1
        return block

    async def load_entities(self) -> list[tuple[str, str, dict[str, str]]]:
        return [(kind, name, dict(configs)) for (kind, name), configs in self._state.entities.items()]

    async def set_entity(self, kind: str, name: str, configs: dict[str, str]) -> None:
        if configs:
            self._state.entities[kind, name] = dict(configs)
        else:
            self._state.entities.pop((kind, name), None)
