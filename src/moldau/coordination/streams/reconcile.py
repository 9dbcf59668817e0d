"""One step of a member towards its target: what it must give up comes before what it gets.

A member is

- *Stable*: it runs what its epoch gives it;
- *UnrevokedTasks*: it was told to give tasks up, and stays in its epoch until it says that it has (by naming its tasks
  without them). Nobody else gets these tasks before;
- *UnreleasedTasks*: it is in the new epoch, and some of its tasks are still with somebody else.

An active task is free when no member has it, in whatever process, and the member's own process has no copy of it. A standby or
warm-up task only has to be free of the member's own process, because a process has one state directory for a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from moldau.coordination.value import Value

from .tasks import NONE, Assignment, Held, TaskId, Tasks

STABLE: Final = "Stable"
UNREVOKED_TASKS: Final = "UnrevokedTasks"
UNRELEASED_TASKS: Final = "UnreleasedTasks"
STATES: Final = (STABLE, UNREVOKED_TASKS, UNRELEASED_TASKS)


class Owners:
    """Which process has which task at present, given or not yet given up."""

    __slots__ = ("active", "copies")

    def __init__(self) -> None:
        self.active: dict[TaskId, str] = {}
        self.copies: dict[TaskId, set[str]] = {}
        """Processes with a standby or warm-up of the task."""

    def add(self, held: Held, process_id: str) -> None:
        for task in held.active:
            self.active[task] = process_id
        for task in held.standby | held.warmup:
            self.copies.setdefault(task, set()).add(process_id)

    def has(self, process_id: str, task: TaskId) -> bool:
        return self.active.get(task) == process_id or process_id in self.copies.get(task, ())


class Step(Value):
    """Where the member is after the step."""

    __slots__ = ("assigned", "member_epoch", "revoking", "state")

    def __init__(self, state: str, member_epoch: int, assigned: Held, revoking: Held) -> None:
        self.state = state
        self.member_epoch = member_epoch
        self.assigned = assigned
        self.revoking = revoking


def step(
    current: Step, target_epoch: int, target: Assignment, owned: Assignment | None, process_id: str, owners: Owners
) -> Step:
    """The next step, or `current` when nothing can be done yet. `owned`: the tasks that the member says it has, None when it did not say."""
    if current.state == STABLE:
        if current.member_epoch == target_epoch:
            return current
        return _next(current, current.member_epoch, target_epoch, target, owned, process_id, owners)
    if current.state == UNREVOKED_TASKS:
        if owned is None or current.revoking.meets(owned):
            return current
        return _next(current, current.member_epoch + 1, target_epoch, target, owned, process_id, owners)
    return _next(current, current.member_epoch, target_epoch, target, owned, process_id, owners)


def _next(
    current: Step,
    member_epoch: int,
    target_epoch: int,
    target: Assignment,
    owned: Assignment | None,
    process_id: str,
    owners: Owners,
) -> Step:
    held = current.assigned
    kept = Held(_of(held.active, target.active), held.standby & target.standby, held.warmup & target.warmup)
    leaving = Held(
        {task: epoch for task, epoch in held.active.items() if task not in target.active},
        held.standby - target.standby,
        held.warmup - target.warmup,
    )
    if not leaving.is_empty and (owned is None or leaving.meets(owned)):
        return Step(UNREVOKED_TASKS, member_epoch, kept, leaving)
    wanted = target.active - held.active.keys()
    active = {
        task: target_epoch
        for task in wanted
        if task not in owners.active and process_id not in owners.copies.get(task, ())
    }
    standby, standby_waits = _free(target.standby - held.standby, process_id, owners)
    warmup, warmup_waits = _free(target.warmup - held.warmup, process_id, owners)
    waits = len(active) < len(wanted) or standby_waits or warmup_waits
    given = Held(kept.active | active, kept.standby | standby, kept.warmup | warmup)
    return Step(UNRELEASED_TASKS if waits else STABLE, target_epoch, given, Held())


def _of(epochs: Mapping[TaskId, int], tasks: Tasks) -> dict[TaskId, int]:
    return {task: epoch for task, epoch in epochs.items() if task in tasks}


def _free(wanted: Tasks, process_id: str, owners: Owners) -> tuple[Tasks, bool]:
    free = frozenset(task for task in wanted if not owners.has(process_id, task))
    return free or NONE, len(free) < len(wanted)
