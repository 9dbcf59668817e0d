"""A process of a Kafka Streams application while tasks are dealt: its members are the threads."""

from __future__ import annotations

from collections.abc import Mapping

from .tasks import TaskId, Tasks


class Process:
    """`load` is tasks for each member; tasks of the same process share its memory and disk, so load is its, not a member's."""

    __slots__ = ("_active", "_counts", "_standby", "_stateless", "client_tags", "load", "process_id", "tasks")

    def __init__(self, process_id: str, client_tags: Mapping[str, str]) -> None:
        self.process_id = process_id
        self.client_tags = client_tags
        self.tasks: set[TaskId] = set()
        self.load = 0.0
        self._counts: dict[str, int] = {}
        self._active: dict[str, set[TaskId]] = {}
        self._standby: dict[str, set[TaskId]] = {}
        self._stateless = 0

    def add_member(self, member_id: str) -> None:
        self._counts[member_id] = 0

    def members(self) -> list[str]:
        return list(self._counts)

    def count(self, member_id: str) -> int:
        return self._counts[member_id]

    def least_count(self) -> int:
        return min(self._counts.values())

    def least_loaded(self) -> str:
        return min(self._counts, key=self._counts.__getitem__)

    @property
    def stateless_load(self) -> float:
        return self._stateless / len(self._counts)

    def has(self, task: TaskId) -> bool:
        return task in self.tasks

    def add(self, member_id: str, task: TaskId, *, active: bool, stateful: bool) -> int:
        """Returns how many tasks the member has now."""
        self.tasks.add(task)
        (self._active if active else self._standby).setdefault(member_id, set()).add(task)
        if active and not stateful:
            self._stateless += 1
        self._counts[member_id] += 1
        self.load = sum(self._counts.values()) / len(self._counts)
        return self._counts[member_id]

    def active_of(self, member_id: str) -> Tasks:
        return frozenset(self._active.get(member_id, ()))

    def standby_of(self, member_id: str) -> Tasks:
        return frozenset(self._standby.get(member_id, ()))
