"""The sticky assignor of streams groups, whatever the group looks like."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from moldau.coordination.streams.assignor import MemberSpec, assign
from moldau.coordination.streams.tasks import Assignment, TaskId

Result = dict[str, Assignment]


@st.composite
def groups(draw: st.DrawFn) -> tuple[dict[str, str], list[TaskId], list[TaskId], int]:
    """Members with their processes, tasks with state, tasks without, and the number of standbys."""
    processes = draw(st.integers(1, 5))
    threads = draw(st.lists(st.integers(0, processes - 1), min_size=1, max_size=8))
    members = {f"m{number}": f"p{process}" for number, process in enumerate(threads)}
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4))
    stateful = [(str(part), p) for part, (count, state) in enumerate(sizes) if state for p in range(count)]
    stateless = [(str(part), p) for part, (count, state) in enumerate(sizes) if not state for p in range(count)]
    return members, stateful, stateless, draw(st.integers(0, 3))


def specs(members: dict[str, str], before: Result | None = None) -> dict[str, MemberSpec]:
    before = before or {}
    return {name: MemberSpec(process, before.get(name)) for name, process in members.items()}


def check(
    members: dict[str, str], stateful: list[TaskId], stateless: list[TaskId], replicas: int, result: Result
) -> None:
    """What holds for every assignment."""
    assert result.keys() == members.keys()
    active = Counter(task for assignment in result.values() for task in assignment.active)
    assert active == Counter(stateful + stateless)
    owner = {task: members[name] for name, assignment in result.items() for task in assignment.active}
    holders: dict[TaskId, list[str]] = {task: [owner[task]] for task in stateful}
    for name, assignment in result.items():
        assert not assignment.warmup
        for task in assignment.standby:
            holders[task].append(members[name])  # a stateless task is a KeyError here
    copies = 1 + min(replicas, len(set(members.values())) - 1)
    for task, processes in holders.items():
        assert len(set(processes)) == len(processes) == copies, task


@given(groups())
def test_every_task_has_one_owner_and_its_copies_lie_on_other_processes(
    group: tuple[dict[str, str], list[TaskId], list[TaskId], int],
) -> None:
    members, stateful, stateless, replicas = group
    result = assign(specs(members), stateful, stateless, standby_replicas=replicas)
    check(members, stateful, stateless, replicas, result)


@given(groups())
def test_threads_are_balanced_within_one(group: tuple[dict[str, str], list[TaskId], list[TaskId], int]) -> None:
    """For processes with the same number of threads; a process is otherwise loaded by its threads."""
    members, stateful, stateless, _ = group
    alone = {name: name for name in members}
    result = assign(specs(alone), stateful, stateless)
    for tasks in (set(stateful), set(stateful + stateless)):
        counts = [len(assignment.active & tasks) for assignment in result.values()]
        assert max(counts) - min(counts) <= 1


@given(groups())
def test_nothing_moves_without_a_reason(group: tuple[dict[str, str], list[TaskId], list[TaskId], int]) -> None:
    members, stateful, stateless, _ = group
    first = assign(specs(members), stateful, stateless)
    assert assign(specs(members, first), stateful, stateless) == first


@given(groups(), st.data())
def test_who_stays_keeps_tasks_when_another_goes(
    group: tuple[dict[str, str], list[TaskId], list[TaskId], int], data: st.DataObject
) -> None:
    members, stateful, stateless, replicas = group
    before = assign(specs(members), stateful, stateless, standby_replicas=replicas)
    gone = data.draw(st.sampled_from(sorted(members)))
    rest = {name: process for name, process in members.items() if name != gone}
    after = assign(specs(rest, before), stateful, stateless, standby_replicas=replicas)
    if rest:
        check(rest, stateful, stateless, replicas, after)
    alone = {name: name for name in members}
    before = assign(specs(alone), stateful, stateless)
    del alone[gone]
    after = assign(specs(alone, before), stateful, stateless)
    for name, assignment in after.items():
        assert before[name].active & set(stateful) <= assignment.active  # those without state make room for others


@given(groups())
def test_a_lost_active_task_goes_to_a_copy(group: tuple[dict[str, str], list[TaskId], list[TaskId], int]) -> None:
    """With as many tasks as threads there is room for it."""
    members, *_ = group
    alone = {name: name for name in members}
    stateful = [("0", number) for number in range(len(members))]
    before = assign(specs(alone), stateful, [], standby_replicas=1)
    gone = sorted(members)[0]
    del alone[gone]
    after = assign(specs(alone, before), stateful, [], standby_replicas=1)
    for task in before[gone].active if len(members) > 1 else ():
        heir = next(name for name, assignment in after.items() if task in assignment.active)
        assert task in before[heir].standby


@given(groups())
def test_copies_are_in_other_zones_while_there_are_any(
    group: tuple[dict[str, str], list[TaskId], list[TaskId], int],
) -> None:
    members, stateful, stateless, replicas = group
    zones = {process: f"z{int(process[1:]) % 2}" for process in members.values()}
    tagged = {name: MemberSpec(process, None, {"zone": zones[process]}) for name, process in members.items()}
    result = assign(tagged, stateful, stateless, standby_replicas=replicas, rack_aware_tags=["zone"])
    check(members, stateful, stateless, replicas, result)


def test_one_standby_goes_to_another_zone() -> None:
    tagged = {
        name: MemberSpec(name, None, {"zone": zone}) for name, zone in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"))
    }
    tasks = [("0", partition) for partition in range(8)]
    result = assign(tagged, tasks, [], standby_replicas=1, rack_aware_tags=["zone"])
    zone_of = {
        task: tagged[name].client_tags["zone"] for name, assignment in result.items() for task in assignment.active
    }
    for name, assignment in result.items():
        for task in assignment.standby:
            assert zone_of[task] != tagged[name].client_tags["zone"]
    assert sum(len(assignment.standby) for assignment in result.values()) == 8


def test_state_on_disk_brings_a_task_back() -> None:
    """A member that was started anew has a new id, but says how far the state on its disk is."""
    tasks = [("0", 0), ("0", 1)]
    for heir in ("a", "b"):
        members = {
            name: MemberSpec(name, None, {}, {("0", 1): 100} if name == heir else {("0", 0): 100})
            for name in ("a", "b")
        }
        assert ("0", 1) in assign(members, tasks, [])[heir].active
