"""The one file here that knows asyncio: it brings events, the store and time together.

For each group events run one after the other. While the records of a decision are being written, later events of that
group wait in its *lane*; without a write in flight a group has no lane, and an event is decided and answered at once,
without a task. Commits of offsets change nothing in the group, so several of them may be written at the same time (the
store keeps their order); deletions, which read what there is before they decide, wait until the group is quiet.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from moldau.metadata.commit_notes import CommitNote
from moldau.metadata.errors import StoreError
from moldau.protocol.error_codes import COORDINATOR_NOT_AVAILABLE, NONE, UNKNOWN_SERVER_ERROR

from .commit_form import CommitForm
from .decision import NEVER, Computation, Decision, Standing
from .events import Event, Heartbeat, OffsetCommit, Tick
from .groups import WRITE_FAILED, Groups
from .replies import failed, refusal
from .timers import Deadlines

if TYPE_CHECKING:
    from moldau.metadata.rows_groups import OffsetRow

    from .ports import GroupStore, OffsetWriter

log = logging.getLogger(__name__)

T = TypeVar("T")

WriteOffsets = Callable[["list[OffsetRow]"], Awaitable[None]]


class _Lane:
    """A group that is busy. `waiting` holds events, and futures of those who want the group for themselves."""

    __slots__ = ("busy", "waiting", "writes")

    def __init__(self) -> None:
        self.busy = False
        self.writes = 0
        self.waiting: deque[Event | asyncio.Future[None]] = deque()


class GroupRuntime:
    """Runs `Groups` on an event loop. `now` is a clock in ms that never goes back; deadlines are in its time."""

    def __init__(self, groups: Groups, store: GroupStore, now: Callable[[], int]) -> None:
        self._groups = groups
        self._store = store
        self._offset_writer = cast("OffsetWriter | None", store if hasattr(store, "write_offsets") else None)
        self._now = now
        self._lanes: dict[str, _Lane] = {}
        self._deadlines = Deadlines()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = NEVER
        self._parked: dict[asyncio.Future[Any], Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open = False
        self._transactional: Counter[str] = Counter()
        """Group id to how many commits of offsets to transactions are under way."""

    # -- life

    async def start(self) -> None:
        """Load all groups. Sessions of members begin anew, so that they can go on without a rebalance."""
        records = await self._store.load_groups()
        for group_id in self._groups.load(records, self._now()):
            self._deadlines.watch(group_id, self._groups.deadline(group_id))
        self._open = True
        self._set_alarm()
        log.log(logging.INFO if len(self._groups) else logging.DEBUG, "event=groups_loaded count=%d", len(self._groups))

    def stop(self) -> None:
        """Refuse what comes from now on. `close` is to follow."""
        self._open = False

    async def close(self) -> None:
        """Answer whoever is parked, and let writes that are under way end."""
        self.stop()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for task in [task for task in self._tasks if task.get_name().startswith("every ")]:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for future, event in list(self._parked.items()):
            if not future.done():
                future.set_result(refusal(event, COORDINATOR_NOT_AVAILABLE))

    def every(self, interval_ms: Callable[[], int], job: Callable[[], Awaitable[None]]) -> None:
        """Run `job` again and again until the runtime is closed. What it raises is logged, and it is run again."""

        name = getattr(job, "__qualname__", repr(job))

        async def run() -> None:
            while True:
                await asyncio.sleep(interval_ms() / 1000)
                try:
                    await job()
                except StoreError as error:
                    log.warning("%s failed error=%s", name, error)
                except Exception:
                    log.exception("%s failed", name)

        self._spawn(run(), name=f"every {name}")

    # -- events

    def ask(self, event: Event) -> asyncio.Future[Any]:
        """Hand in an event; the future is its reply, and often done already. Cancelling it forgoes the reply only."""
        event.ticket = future = asyncio.get_running_loop().create_future()
        if not self._open:
            future.set_result(refusal(event, COORDINATOR_NOT_AVAILABLE))
            return future
        self._submit(event)
        if not future.done():
            self._parked[future] = event
            future.add_done_callback(self._forget)
        return future

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self._parked.pop(future, None)

    def heartbeat_now(self, event: Heartbeat, now: int) -> int | None:
        """The error code, or None when the group is busy and the event has to be asked."""
        if not self._is_free(event.group_id):
            return None
        error = self._groups.heartbeat(event, now)
        self._watch(event.group_id, self._groups.deadline(event.group_id))
        return error

    async def commit(self, event: OffsetCommit) -> list[int]:
        """As `ask`, but an ordinary commit is written by the caller itself, without a task."""
        if not self._is_free(event.group_id):
            return list(await self.ask(event))
        decision = self._groups.handle(event, self._now())
        if decision.records:
            return list(await self._carry_out_first(event, decision))
        self._watch(event.group_id, decision.deadline)
        reply = decision.replies[0][1]
        if decision.offsets:
            lane = self._lanes.setdefault(event.group_id, _Lane())
            lane.writes += 1
            try:
                await self._store.write([], decision.offsets, [])
            except StoreError as error:
                log.warning("group=%s offsets not committed error=%s", event.group_id, error)
                reply = failed(reply, WRITE_FAILED)
            finally:
                lane.writes -= 1
                self._drain(event.group_id, lane)
        return list(reply)

    def _is_free(self, group_id: str) -> bool:
        """An event of the group may be decided at once."""
        lane = self._lanes.get(group_id)
        return self._open and (lane is None or not (lane.busy or lane.waiting))

    def _carry_out_first(self, event: OffsetCommit, decision: Decision) -> asyncio.Future[Any]:
        """The first commit of a group makes the group; the future is the reply."""
        future = asyncio.get_running_loop().create_future()
        event.ticket = future
        decision.replies = [(future, reply) for _, reply in decision.replies]
        self._carry_out(event.group_id, decision)
        return future

    def commit_now(self, event: OffsetCommit, done: Callable[[list[int]], None]) -> bool:
        """As `commit`, and `done` gets the reply, perhaps before this returns. False: nothing was done, because the store wants a task for it or the group is busy."""
        group_id = event.group_id
        writer = self._offset_writer
        if writer is None or not self._is_free(group_id):
            return False
        decision = self._groups.handle(event, self._now())
        if decision.records:
            future = self._carry_out_first(event, decision)
            future.add_done_callback(lambda told: done(list(told.result())))
            return True
        self._watch(group_id, decision.deadline)
        reply = decision.replies[0][1]
        if not decision.offsets:
            done(list(reply))
            return True
        lane = self._lanes.setdefault(group_id, _Lane())
        lane.writes += 1
        writer.write_offsets(decision.offsets, partial(self._committed, group_id, lane, list(reply), done))
        return True

    def commit_again(self, form: CommitForm, offsets: Sequence[int], done: Callable[[int], None]) -> bool:
        """As `commit_now` of the form's event with these offsets and the time of now; `done` gets one error code for all. False: nothing was done, because
        it would not be decided as it was.
        """
        group_id, now = form.event.group_id, self._now()
        writer = self._offset_writer
        if writer is None or not self._is_free(group_id) or not self._groups.commits_again(form.event, now):
            return False
        self._watch(group_id, self._groups.deadline(group_id))
        lane = self._lanes.setdefault(group_id, _Lane())
        lane.writes += 1
        note = CommitNote(form.layout, offsets, now)
        writer.write_again(note, partial(self._committed, group_id, lane, NONE, done))
        return True

    def _committed(
        self, group_id: str, lane: _Lane, reply: T, done: Callable[[T], None], error: StoreError | None
    ) -> None:
        lane.writes -= 1
        self._drain(group_id, lane)
        if error is not None:
            log.warning("group=%s offsets not committed error=%s", group_id, error)
            reply = failed(reply, WRITE_FAILED)
        done(reply)

    async def commit_transactional(self, event: OffsetCommit, write: WriteOffsets) -> list[int]:
        """As `commit`, but `write` puts the offsets where they wait for the end of their transaction; what it raises comes out.

        Until it is back `is_committing` says so: a member that takes the partitions over must not be told offsets that this changes.
        """
        if not self._open:
            return list(refusal(event, COORDINATOR_NOT_AVAILABLE))
        group_id = event.group_id
        lane = self._lanes.get(group_id)
        busy = lane is not None and (lane.busy or lane.waiting)
        decision = None if busy else self._groups.handle(event, self._now())
        if decision is None or decision.records:  # the first commit of a group makes the group
            return await self.alone(group_id, lambda: self._commit_alone(event, write))
        lane = self._lanes.setdefault(group_id, _Lane())
        lane.writes += 1
        try:
            return await self._write_transactional(group_id, decision, write)
        finally:
            lane.writes -= 1
            self._drain(group_id, lane)

    async def _commit_alone(self, event: OffsetCommit, write: WriteOffsets) -> list[int]:
        decision = self._groups.handle(event, self._now())
        made = Decision()
        made.records, decision.records = decision.records, []
        made.replies = decision.replies
        await self._write(event.group_id, made)
        decision.replies = made.replies
        return await self._write_transactional(event.group_id, decision, write)

    async def _write_transactional(self, group_id: str, decision: Decision, write: WriteOffsets) -> list[int]:
        self._watch(group_id, decision.deadline)
        codes: list[int] = list(decision.replies[0][1])
        if decision.offsets and WRITE_FAILED not in codes:
            self._transactional[group_id] += 1
            try:
                await write(decision.offsets)
            finally:
                self._transactional[group_id] -= 1
                if not self._transactional[group_id]:
                    del self._transactional[group_id]
        return codes

    def is_committing(self, group_id: str) -> bool:
        """Whether offsets of the group are on their way into a transaction."""
        return group_id in self._transactional

    async def alone(self, group_id: str, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` while no event of the group is decided and no write of it is in flight.

        The work goes on when the caller is cancelled. It may call `settle`.
        """
        return await asyncio.shield(self._spawn(self._alone(group_id, work), name=f"alone {group_id}"))

    async def _alone(self, group_id: str, work: Callable[[], Awaitable[T]]) -> T:
        lane = self._lanes.setdefault(group_id, _Lane())
        if lane.busy or lane.writes or lane.waiting:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lane.waiting.append(turn)
            await turn
        lane.busy = True
        try:
            return await work()
        finally:
            lane.busy = False
            self._drain(group_id, lane)

    async def settle(self, event: Event) -> Any:
        """Decide, write and apply an event inside `alone`. Returns its reply."""
        event.ticket = self
        decision = self._groups.handle(event, self._now())
        await self._write(event.group_id, decision)
        mine = next((reply for ticket, reply in decision.replies if ticket is self), None)
        decision.replies = [(ticket, reply) for ticket, reply in decision.replies if ticket is not self]
        _release(decision)
        return mine

    def _submit(self, event: Event) -> None:
        lane = self._lanes.get(event.group_id)
        if lane is not None and (lane.busy or lane.waiting):
            lane.waiting.append(event)
        else:
            self._decide(event)

    def _decide(self, event: Event) -> None:
        try:
            decision = self._groups.handle(event, self._now())
        except Exception as error:
            if event.ticket is None:
                log.exception("group=%s event=%s failed", event.group_id, type(event).__name__)
            elif not event.ticket.done():
                event.ticket.set_exception(error)
            return
        if decision.writes:
            self._carry_out(event.group_id, decision)
        else:
            _release(decision)
            self._watch(event.group_id, decision.deadline)
            if decision.standing is not None:
                event.repeat = partial(self._repeat, decision.standing)
            if decision.computation is not None:
                self._compute(event.group_id, decision.computation)

    def _repeat(self, standing: Standing) -> bool:
        """The very event of that standing came again: do what `ask` would do, if that were the same; else nothing, and False."""
        group_id: str = standing.group.group_id
        if not self._is_free(group_id):
            return False
        group = self._groups.get(group_id)
        if group is None or group is not standing.group or not standing.repeat(self._now()):
            return False
        self._watch(group_id, group.wake_at)
        return True

    def _carry_out(self, group_id: str, decision: Decision) -> None:
        lane = self._lanes.setdefault(group_id, _Lane())
        if decision.records:
            lane.busy = True
        else:
            lane.writes += 1
        self._spawn(self._persist(group_id, lane, decision), name=f"write {group_id}")

    async def _persist(self, group_id: str, lane: _Lane, decision: Decision) -> None:
        exclusive = bool(decision.records)
        try:
            await self._write(group_id, decision)
        except Exception:
            log.exception("group=%s decision was written but not applied", group_id)
            decision.replies = [(ticket, failed(reply, UNKNOWN_SERVER_ERROR)) for ticket, reply in decision.replies]
        finally:
            _release(decision)
            if exclusive:
                lane.busy = False
            else:
                lane.writes -= 1
            self._watch(group_id, self._groups.deadline(group_id))
            if decision.computation is not None:
                self._compute(group_id, decision.computation)
            if decision.again is not None:
                self._decide(decision.again)
            self._drain(group_id, lane)

    def _compute(self, group_id: str, computation: Computation) -> None:
        """Begin work in the thread for such; its result is one more event of the group."""

        async def run() -> None:
            result, problem = None, None
            try:
                result = await asyncio.get_running_loop().run_in_executor(_thread(), computation.work)
            except Exception as error:
                log.exception("group=%s computation failed", group_id)
                problem = error
            if self._open:
                self._submit(computation.then(result, problem))

        self._spawn(run(), name=f"every computation of {group_id}")

    async def _write(self, group_id: str, decision: Decision) -> None:
        """Write the decision, then apply its records. When that fails its replies become refusals."""
        if not decision.writes:
            return
        try:
            await self._store.write(decision.records, decision.offsets, decision.deleted_offsets)
        except Exception as error:
            level = logging.WARNING if isinstance(error, StoreError) else logging.ERROR
            log.log(level, "group=%s not written error=%r", group_id, error, exc_info=level == logging.ERROR)
            decision.replies = [(ticket, failed(reply, WRITE_FAILED)) for ticket, reply in decision.replies]
            if decision.records:
                decision.replies += self._groups.write_failed(group_id, self._now()).replies
            if decision.again is not None:
                decision.replies.append((decision.again.ticket, refusal(decision.again, WRITE_FAILED)))
            decision.again = decision.computation = None
        else:
            now = self._now()
            for record in decision.records:
                self._groups.apply(record, now)

    def _drain(self, group_id: str, lane: _Lane) -> None:
        """Go on with what waits, until the group is busy again."""
        waiting = lane.waiting
        while waiting and not lane.busy:
            head = waiting[0]
            if isinstance(head, Event):
                waiting.popleft()
                self._decide(head)
            elif lane.writes:
                return
            else:
                waiting.popleft()
                lane.busy = True
                head.set_result(None)
        if not (waiting or lane.busy or lane.writes) and self._lanes.get(group_id) is lane:
            del self._lanes[group_id]

    # -- time

    def _watch(self, group_id: str, deadline: int) -> None:
        if deadline != NEVER:
            self._deadlines.watch(group_id, deadline)
            if deadline < self._alarm_at:
                self._set_alarm()

    def _set_alarm(self) -> None:
        earliest = self._deadlines.earliest()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = earliest
        if earliest != NEVER and self._open:
            delay = max(earliest - self._now(), 0) / 1000
            self._alarm = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._alarm_at = 0  # no need to set the alarm before the end of this
        now = self._now()
        for group_id in self._deadlines.due(now):
            deadline = self._groups.deadline(group_id)
            if deadline > now:
                self._watch(group_id, deadline)
            else:
                self._submit(Tick(group_id))
        self._set_alarm()

    def _spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


_computing: ThreadPoolExecutor | None = None


def _thread() -> ThreadPoolExecutor:
    """One for the whole process: while it computes for a group, other groups wait for their computations, and for nothing else."""
    global _computing
    if _computing is None:
        _computing = ThreadPoolExecutor(1, "moldau-groups")
    return _computing


def _release(decision: Decision) -> None:
    for ticket, reply in decision.replies:
        if ticket is not None and not ticket.done():
            ticket.set_result(reply)
