"""The sticky assignor of streams groups: which member runs which task.

Rules, in order, as in Kafka 4.4 (StickyTaskAssignor):

1. Active tasks with state are dealt first, then those without, so that each kind is spread evenly for itself. A task stays
   where it was while its member is below the quota, the tasks divided by the members; else it goes where a copy of its
   state is; else to the process that is least loaded for its number of members.
2. Standby tasks never go to a process that has the task already. With `rack_aware_assignment_tags` the most diverse places
   come first; then the member that was active, then one that had a copy, then the least loaded.

Tasks without state have no standby. When there are fewer processes than copies asked for, the rest is left out.

Cost: a task is moved through two heaps, so (tasks log processes); 10,000 tasks on 100 processes take some 50 ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from moldau.coordination.value import Value

from .process import Process
from .standby_tags import TagPicker
from .tasks import NONE, Assignment, TaskId


class MemberSpec(Value):
    """What the assignor knows of a member: its process, and what it has now.

    `offsets`: for each task whose state lies on the member's disk how far it is, whether or not it runs the task.
    """

    __slots__ = ("client_tags", "current", "offsets", "process_id")

    def __init__(
        self,
        process_id: str,
        current: Assignment | None = None,
        client_tags: Mapping[str, str] | None = None,
        offsets: Mapping[TaskId, int] | None = None,
    ) -> None:
        self.process_id = process_id
        self.current = current or Assignment()
        self.client_tags = dict(client_tags or {})
        self.offsets = dict(offsets or {})


class _Holder(NamedTuple):
    process: Process
    member_id: str


def assign(
    members: Mapping[str, MemberSpec],
    stateful: Iterable[TaskId],
    stateless: Iterable[TaskId],
    *,
    standby_replicas: int = 0,
    rack_aware_tags: Sequence[str] = (),
) -> dict[str, Assignment]:
    """An assignment for each of `members`. The same input gives the same result."""
    if not members:
        return {}
    return _Assigning(members, list(stateful), list(stateless), standby_replicas, rack_aware_tags).run()


class _Quota:
    """How many tasks a member should have: the tasks left, divided by the members that are not full, rounded up."""

    __slots__ = ("_members", "_tasks", "value")

    def __init__(self, tasks: int, members: int) -> None:
        self._tasks = tasks
        self._members = members
        self.value = -(-tasks // members)

    def reached(self, count: int) -> None:
        """Some member has `count` tasks now; when that is the quota it is full, and the rest is divided again."""
        if count == self.value:
            self._members -= 1
            self._tasks -= count
            self.value = -(-self._tasks // self._members) if self._members else 0


class _Assigning:
    def __init__(
        self,
        members: Mapping[str, MemberSpec],
        stateful: list[TaskId],
        stateless: list[TaskId],
        standby_replicas: int,
        tags: Sequence[str],
    ) -> None:
        self.stateful = stateful
        self.stateless = stateless
        self.replicas = standby_replicas
        self.tags = tags
        self.members = sorted(members)
        self.processes: dict[str, Process] = {}
        self.was_active: dict[TaskId, _Holder] = {}
        self.had_copy: dict[TaskId, list[_Holder]] = {}
        copies: dict[TaskId, list[tuple[int, int, int, _Holder]]] = {}
        for place, member_id in enumerate(self.members):
            spec = members[member_id]
            process = self.processes.get(spec.process_id)
            if process is None:
                process = self.processes[spec.process_id] = Process(spec.process_id, spec.client_tags)
            process.add_member(member_id)
            holder = _Holder(process, member_id)
            for task in spec.current.active:
                self.was_active[task] = holder
            given = spec.current.standby | spec.current.warmup
            for task in given | spec.offsets.keys():
                rank = 0 if task in given else 1
                copies.setdefault(task, []).append((rank, -spec.offsets.get(task, 0), place, holder))
        for task, found in copies.items():
            found.sort(key=lambda copy: copy[:3])
            self.had_copy[task] = [copy[3] for copy in found]
        count = len(members)
        actives = len(stateful) + len(stateless)
        self.stateful_quota = _Quota(len(stateful), count)
        self.active_quota = _Quota(actives, count)
        self.quota = _Quota(actives + standby_replicas * len(stateful), count)

    def run(self) -> dict[str, Assignment]:
        self._actives(self.stateful, True)
        self._actives(self.stateless, False)
        if self.replicas:
            self._standbys()
        found = {}
        for process in self.processes.values():
            for member_id in process.members():
                found[member_id] = Assignment(process.active_of(member_id), process.standby_of(member_id), NONE)
        return found

    # -- active tasks

    def _actives(self, tasks: list[TaskId], stateful: bool) -> None:
        by_partition = sorted(tasks, key=lambda task: (task[1], task[0]))
        rest = []
        for task in by_partition:
            holder = self.was_active.get(task)
            if holder is None or not self._keep(holder, task, stateful):
                rest.append(task)
        left = []
        for task in rest:
            holder = _least_loaded(self.had_copy.get(task, ()), None)
            if holder is None or not self._keep(holder, task, stateful):
                left.append(task)
        heap = [
            (process.load, process.stateless_load, place, process)
            for place, process in enumerate(self.processes.values())
        ]
        heap.sort(key=lambda entry: entry[:3])
        for task in sorted(left):
            _, _, place, process = heappop(heap)
            self._count(process.add(process.least_loaded(), task, active=True, stateful=stateful))
            heappush(heap, (process.load, process.stateless_load, place, process))

    def _keep(self, holder: _Holder, task: TaskId, stateful: bool) -> bool:
        quota = self.stateful_quota if stateful else self.active_quota
        if holder.process.count(holder.member_id) >= quota.value:
            return False
        count = holder.process.add(holder.member_id, task, active=True, stateful=stateful)
        if stateful:
            self.stateful_quota.reached(count)
        self._count(count)
        return True

    def _count(self, count: int) -> None:
        self.active_quota.reached(count)
        self.quota.reached(count)

    # -- standby tasks

    def _standbys(self) -> None:
        picker = TagPicker(self.tags, list(self.processes.values())) if self.tags else None
        owners = {task: process for process in self.processes.values() for task in process.tasks}
        rest: list[tuple[TaskId, int]] = []
        for task in sorted(self.stateful, key=lambda task: (task[1], task[0]), reverse=True):
            placed = 0 if picker is None else self._diverse(picker, task, owners[task])
            placed = self._sticky(task, placed)
            if placed < self.replicas:
                rest.append((task, self.replicas - placed))
        heap = [(process.load, place, process) for place, process in enumerate(self.processes.values())]
        heap.sort(key=lambda entry: entry[:2])
        for task, missing in sorted(rest, reverse=True):
            for _ in range(missing):
                if not self._to_least_loaded(heap, task):
                    break

    def _diverse(self, picker: TagPicker, task: TaskId, owner: Process) -> int:
        """Places the standbys that make the task's copies more diverse; returns how many."""
        before: dict[str, tuple[int, str]] = {}
        for rank, holder in enumerate(self.had_copy.get(task, ()), 1):
            before.setdefault(holder.process.process_id, (rank, holder.member_id))
        if (active := self.was_active.get(task)) is not None:
            before[active.process.process_id] = (0, active.member_id)
        picker.start(owner)
        placed = 0
        while placed < self.replicas:
            candidates = picker.candidates(
                lambda process: not process.has(task) and process.least_count() < self.quota.value
            )
            if not candidates:
                break
            winner = min(
                candidates, key=lambda process: (before.get(process.process_id, (len(before) + 1,))[0], process.load)
            )
            known = before.get(winner.process_id)
            if known is not None and winner.count(known[1]) < self.quota.value:
                member_id = known[1]
            else:
                member_id = winner.least_loaded()
            self.quota.reached(winner.add(member_id, task, active=False, stateful=True))
            picker.used(winner)
            placed += 1
        return placed

    def _sticky(self, task: TaskId, placed: int) -> int:
        """Places standbys where the task was before; returns how many there are now."""
        while placed < self.replicas:
            holder = self.was_active.get(task)
            if holder is None or holder.process.has(task) or holder.process.count(holder.member_id) >= self.quota.value:
                holder = _least_loaded(self.had_copy.get(task, ()), task)
                if holder is None or holder.process.count(holder.member_id) >= self.quota.value:
                    break
            self.quota.reached(holder.process.add(holder.member_id, task, active=False, stateful=True))
            placed += 1
        return placed

    def _to_least_loaded(self, heap: list[tuple[float, int, Process]], task: TaskId) -> bool:
        passed = []
        found = False
        while heap and not found:
            load, place, process = heappop(heap)
            if process.has(task):
                passed.append((load, place, process))
            else:
                self.quota.reached(process.add(process.least_loaded(), task, active=False, stateful=True))
                passed.append((process.load, place, process))
                found = True
        for entry in passed:
            heappush(heap, entry)
        return found


def _least_loaded(holders: Iterable[_Holder], task: TaskId | None) -> _Holder | None:
    """The holder to prefer: the first, unless a later one is less loaded as a process and as a member. One whose process has
    `task` already is no choice."""
    best = None
    for holder in holders:
        if task is not None and holder.process.has(task):
            continue
        if best is None or (
            holder.process.load < best.process.load
            and holder.process.count(holder.member_id) < best.process.count(best.member_id)
        ):
            best = holder
    return best
