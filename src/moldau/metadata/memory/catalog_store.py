"""`CatalogStore` in memory."""

from __future__ import annotations

from ..rows import Changes
from .state import MemoryState
from .topic_store import row_of


class MemoryCatalogStore:
    """See `moldau.metadata.ports.CatalogStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def version(self) -> int:
        return self._state.metadata_version

    async def changes(self, since: int) -> Changes:
        state = self._state
        whole = since < state.metadata_floor
        changed = [topic for topic in state.topics.values() if whole or topic.version > since]
        return Changes(
            state.metadata_version,
            whole,
            [row_of(state, topic) for topic in changed if topic.alive],
            [] if whole else [topic.topic_id for topic in changed if not topic.alive],
            [(kind, name, dict(configs)) for (kind, name), configs in state.entities.items()]
            if whole or since < state.entity_version
            else None,
        )
