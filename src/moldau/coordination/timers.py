"""One heap of deadlines for thousands of groups: one entry per group, old ones are left to be skipped."""

from __future__ import annotations

from heapq import heappop, heappush

from .decision import NEVER


class Deadlines:
    """The earliest time at which each group may want a `Tick`.

    A deadline is only ever moved forward here; that a group's true deadline has moved on (heartbeats do that all the
    time) is found out when the early one comes. So a heartbeat costs nothing here, and a group at most one needless
    wake-up per session timeout.
    """

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._at: dict[str, int] = {}

    def watch(self, group_id: str, deadline: int) -> None:
        """Wake the group at `deadline`, unless it is to be woken earlier anyway."""
        if deadline < self._at.get(group_id, NEVER):
            self._at[group_id] = deadline
            heappush(self._heap, (deadline, group_id))

    def due(self, now: int) -> list[str]:
        """Take out the groups whose deadline has come."""
        heap, at = self._heap, self._at
        found = []
        while heap and heap[0][0] <= now:
            deadline, group_id = heappop(heap)
            if at.get(group_id) == deadline:
                del at[group_id]
                found.append(group_id)
        return found

    def earliest(self) -> int:
        """When to call `due` again (perhaps in vain), or `NEVER`."""
        return self._heap[0][0] if self._heap else NEVER

    def __len__(self) -> int:
        return len(self._at)
