"""Tasks: what members of a streams group are given to run.

A task is one partition number of one subtopology, so it reads that partition of each of the subtopology's topics. A member
runs it as *active* (it processes records), *standby* (it keeps a copy of the state), or *warm-up* (a copy that catches up to
become active).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from moldau.coordination.value import Value

TaskId: TypeAlias = tuple[str, int]
"""(subtopology id, partition)"""

Tasks: TypeAlias = frozenset[TaskId]

NONE: Tasks = frozenset()


class Assignment(Value):
    """The tasks of one member, in each role."""

    __slots__ = ("active", "standby", "warmup")

    def __init__(self, active: Tasks = NONE, standby: Tasks = NONE, warmup: Tasks = NONE) -> None:
        self.active = active
        self.standby = standby
        self.warmup = warmup

    @property
    def is_empty(self) -> bool:
        return not (self.active or self.standby or self.warmup)


class Held(Value):
    """The tasks of one member; of active ones also the epoch in which the member got them, for offset commits to be held against."""

    __slots__ = ("active", "standby", "warmup")

    def __init__(self, active: Mapping[TaskId, int] = {}, standby: Tasks = NONE, warmup: Tasks = NONE) -> None:
        self.active = dict(active)
        self.standby = standby
        self.warmup = warmup

    @property
    def is_empty(self) -> bool:
        return not (self.active or self.standby or self.warmup)

    def meets(self, tasks: Assignment) -> bool:
        """Whether some task is in both, in the same role."""
        return bool(self.active.keys() & tasks.active or self.standby & tasks.standby or self.warmup & tasks.warmup)

    def same_tasks(self, other: Held) -> bool:
        """Whether both hold the same tasks; epochs do not matter."""
        return (
            self.active.keys() == other.active.keys() and self.standby == other.standby and self.warmup == other.warmup
        )


def by_subtopology(tasks: Iterable[TaskId]) -> dict[str, list[int]]:
    """Partitions of each subtopology, all in order: as the protocol spells tasks."""
    found: dict[str, list[int]] = {}
    for subtopology_id, partition in sorted(tasks):
        found.setdefault(subtopology_id, []).append(partition)
    return found
