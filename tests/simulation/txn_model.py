"""Every state that a small world of transactions can come to, and what must hold in each of them.

The world: one transactional id, a worker that reads inputs, writes an output to each partition and commits the group's offset with it, and a second worker that
takes over whenever it likes, while the first one goes on. Any request may be late, may be done while its reply is lost, may stop half-way for ever, and
is then sent again; transactions run out of time. The rules are the real ones: what becomes of the row is decided by `moldau.coordination.transactions`, what becomes
of a batch by `moldau.log.producer_state`. Only the store is a model: each of its transactions is one step.

There are as many brokers as you like: a batch comes to one that remembers any transaction that was ever joined, or to one that remembers none. A broker that
dies is one whose requests go on no more, and that has forgotten everything.

What must hold, in every state: each input below the group's offset has exactly one committed output in each partition, and no other has any; nothing is
open in a log that the row does not know as open; no marker ends records of two transactions; what a worker was told is so, and stays so; nothing is committed
that nobody asked to commit.

`Rules` breaks the rules one by one: then `explore` must find a state that is wrong, with the shortest way to it.

    python -m tests.simulation.txn_model version=2 late=1 inputs=2        one world, as large as you like
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from moldau.coordination.transactions.end import end_version_1, end_version_2, time_out
from moldau.coordination.transactions.enlist import enlist, enlist_offsets, verify
from moldau.coordination.transactions.init import init_producer
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.log.producer_state import ProducerStates, Refused
from moldau.metadata.rows_groups import OffsetRow
from moldau.metadata.rows_txn import EMPTY, ONGOING, End, TxnChange, TxnRow
from moldau.protocol import error_codes
from moldau.records.batch import TRANSACTIONAL_BIT

NOBODY = (-1, -1)
MARKER = -1
TIMEOUT_MS = 1


class Rules(NamedTuple):
    """All of them hold; a test drops one."""

    guarded: bool = True
    """An append that opens a transaction in a partition compares the row, in its own transaction of the store."""
    guard_names_transaction: bool = True
    """The guard names one transaction (`seq`), and not only the id."""
    ends_compared: bool = True
    """An append is refused when the partition ends elsewhere than where it was decided."""
    sequences: bool = True
    """A batch that is sent again is known."""
    ends_raise_epoch: bool = True
    """Version 2: each end raises the epoch."""
    init_raises_epoch: bool = True
    init_aborts: bool = True
    """A new producer aborts what the one before left open."""
    end_at_once: bool = True
    """Row, markers and offsets are one transaction of the store; else the markers come later."""
    offsets_pending: bool = True
    """Offsets are the group's only when the transaction is committed."""
    outcome_told: bool = True
    """Who asks for the other outcome than there was is refused."""
    time_out_raises_epoch: bool = True
    clients_bump: bool = True
    """Version 1: a client that aborted without knowing what became of its batches takes a new epoch (KIP-360)."""


class Bounds(NamedTuple):
    """How large the world is."""

    version: int = 2
    workers: int = 2
    partitions: int = 1
    inputs: int = 2
    late: int = 1
    """How often a worker waits no longer for an answer."""
    aborts: int = 1
    time_outs: int = 0
    late_kinds: frozenset[str] = frozenset({"init", "join", "produce", "offsets", "end"})
    """What may still be done after a worker gave it up; of other kinds only replies are lost."""
    epoch: int = 0
    """Of the transactional id before the world begins."""
    states: int = 2_000_000


class Worker(NamedTuple):
    """`asked` and `told`: its transactions (by number) that it asked to commit; and those that it knows the end of, with it."""

    at: str = "new"
    producer: tuple[int, int] = NOBODY
    sequences: tuple[int, ...] = ()
    input: int = -1
    number: int = 0
    asked: frozenset[int] = frozenset()
    told: tuple[tuple[int, bool], ...] = ()
    unsure: bool = False
    """A batch of its transaction was given up."""


class Flight(NamedTuple):
    """A request on its way. `worker` is -1 when nobody waits for it any more. `stage` 0 has not begun, 1 and 2 are decided on (2 opens a transaction), 9 is answered (`answer`: a producer, or NOBODY: refused)."""

    worker: int
    owner: int
    kind: str
    producer: tuple[int, int]
    what: tuple[int, ...]
    stage: int = 0
    end: int = -1
    guard: int = -1
    again: bool = False
    answer: tuple[int, int] = NOBODY


class State(NamedTuple):
    """`known`: what brokers remember, (producer, seq, partition). `owed`: markers that a broken end has not written yet."""

    row: TxnRow | None
    taking_part: frozenset[int]
    pending: int
    offset: int
    logs: tuple[tuple[tuple[int, ...], ...], ...]
    known: frozenset[tuple[tuple[int, int], int, int]]
    workers: tuple[Worker, ...]
    flights: tuple[Flight, ...]
    late: int
    aborts: int
    time_outs: int
    owed: tuple[tuple[int, tuple[int, ...]], ...] = ()


class Result(NamedTuple):
    """`wrong` is empty when nothing is; else what, and `way` the steps that lead there."""

    states: int
    steps: int
    depth: int
    wrong: str
    way: list[str]


class Header:
    """What the rules of the log look at."""

    __slots__ = ("attributes", "base_sequence", "last_sequence", "producer_epoch", "producer_id")

    def __init__(self, producer: tuple[int, int], sequence: int) -> None:
        self.producer_id, self.producer_epoch = producer
        self.base_sequence = self.last_sequence = sequence
        self.attributes = TRANSACTIONAL_BIT


# An entry of a log is (producer id, epoch, sequence, worker, number, input), or (producer id, epoch, MARKER, commits).


@lru_cache(maxsize=1 << 16)
def fold(log: tuple[tuple[int, ...], ...]) -> ProducerStates:
    """As a broker's view has it. Not to be changed."""
    states = ProducerStates()
    for offset, entry in enumerate(log):
        if entry[2] == MARKER:
            states.mark(entry[0], entry[1], offset, bool(entry[3]), 0, 0)
        else:
            states.add(entry[0], entry[1], entry[2], entry[2], offset, offset, 0, 0, True)
    return states


class Seen(NamedTuple):
    """A log as readers see it: `committed` entries, `open` producer ids, and what is wrong with it alone."""

    committed: tuple[tuple[int, ...], ...]
    open: tuple[int, ...]
    wrong: str


@lru_cache(maxsize=1 << 16)
def seen(log: tuple[tuple[int, ...], ...]) -> Seen:
    ranges: dict[int, list[tuple[int, ...]]] = {}
    committed: list[tuple[int, ...]] = []
    wrong = ""
    for entry in log:
        if entry[2] != MARKER:
            ranges.setdefault(entry[0], []).append(entry)
            continue
        ended = ranges.pop(entry[0], [])
        if len({each[3:5] for each in ended}) > 1:
            wrong = f"one marker ends records of several transactions: {ended}"
        if entry[3]:
            committed += ended
    for ended in ranges.values():
        if len({each[3:5] for each in ended}) > 1:
            wrong = f"records of several transactions are open as one: {ended}"
    return Seen(tuple(committed), tuple(sorted(ranges)), wrong)


def wrong(state: State) -> str:
    """What must not be, or nothing."""
    row = state.row
    visible: set[tuple[int, int]] = set()
    for partition, log in enumerate(state.logs):
        look = seen(log)
        if look.wrong:
            return f"partition {partition}: {look.wrong}"
        for producer_id in look.open:
            if (
                row is None
                or row.state != ONGOING
                or row.producer_id != producer_id
                or partition not in state.taking_part
            ):
                return f"partition {partition}: producer {producer_id} has a transaction open that will never end"
        outputs = Counter(entry[5] for entry in look.committed)
        for number in range(max(state.offset, max(outputs, default=-1) + 1)):
            expected = 1 if number < state.offset else 0
            if outputs[number] != expected:
                return f"partition {partition}: input {number} has {outputs[number]} outputs; the group is at {state.offset}"
        visible.update((entry[3], entry[4]) for entry in look.committed)
    for nth, worker in enumerate(state.workers):
        for number, commit in worker.told:
            if ((nth, number) in visible) is not commit:
                said = "committed" if commit else "aborted"
                return f"worker {nth} was told that its transaction {number} was {said}, and it is not so"
    for nth, number in visible:
        if number not in state.workers[nth].asked:
            return f"transaction {number} of worker {nth} is committed, and was not asked to be"
    return ""


class World:
    """The steps that lead on from a state."""

    def __init__(self, bounds: Bounds, rules: Rules) -> None:
        self.bounds = bounds
        self.rules = rules

    def first(self) -> State:
        bounds = self.bounds
        row = None
        if bounds.epoch:
            row = TxnRow("t", 1, bounds.epoch, -1, -1, EMPTY, 0, TIMEOUT_MS, -1, 0, bounds.version)
        return State(
            row,
            frozenset(),
            -1,
            0,
            ((),) * bounds.partitions,
            frozenset(),
            (Worker(),) * bounds.workers,
            (),
            bounds.late,
            bounds.aborts,
            bounds.time_outs,
        )

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """What a worker does on an answer concerns nobody else until its next request is done, so it is not mixed with what others do."""
        for nth, worker in enumerate(state.workers):
            if worker.at == "new" or any(each.worker == nth and each.stage == 9 for each in state.flights):
                yield from self._worker(state, nth, worker)
                return
        for nth, worker in enumerate(state.workers):
            yield from self._worker(state, nth, worker)
        for flight in dict.fromkeys(state.flights):
            if flight.stage != 9:
                yield from self._flight(state, flight)
        row = state.row
        if state.time_outs and row is not None and row.state == ONGOING:
            change = time_out(row, TIMEOUT_MS, row.seq, self.bounds.version, row.producer_id + 1)
            assert change is not None
            assert change.row is not None
            if not self.rules.time_out_raises_epoch:
                change.row = change.row._replace(epoch=row.epoch)
                change.end = End(False, row.producer_id, row.epoch)
            after = self._done(state, change)._replace(time_outs=state.time_outs - 1)
            yield "the transaction runs out of time", after
        for owed in state.owed:
            partition, entry = owed
            logs = _put(state.logs, partition, (*state.logs[partition], entry))
            rest = tuple(each for each in state.owed if each != owed)
            yield f"a marker comes to partition {partition}", state._replace(logs=logs, owed=rest)

    # -- workers ------------------------------------------------------------------------------------------------------

    def _worker(self, state: State, nth: int, worker: Worker) -> Iterator[tuple[str, State]]:
        if worker.at == "new":
            yield from self._send(state, nth, worker._replace(at="init"), "init", NOBODY, ())
        elif worker.at == "idle":
            yield from self._begin(state, nth, worker)
        elif worker.at not in ("dead", "done"):
            flight = next(each for each in state.flights if each.worker == nth)
            if flight.stage == 9:
                yield from self._told(_without(state, flight), nth, worker, flight)
            if state.late:
                yield from self._give_up(state, nth, worker, flight)

    def _begin(self, state: State, nth: int, worker: Worker) -> Iterator[tuple[str, State]]:
        if state.offset >= self.bounds.inputs:
            yield f"worker {nth} has nothing to do", _with(state, nth, worker._replace(at="done"))
            return
        worker = worker._replace(
            input=state.offset,
            number=worker.number + 1,
            sequences=worker.sequences or (0,) * self.bounds.partitions,
            unsure=False,
        )
        yield from self._go_on(state, nth, worker, "begin")

    def _go_on(self, state: State, nth: int, worker: Worker, done: str) -> Iterator[tuple[str, State]]:
        """After the answer to `done` the next request of its transaction."""
        if done == "begin" and self.bounds.version == 1:
            yield from self._send(
                state,
                nth,
                worker._replace(at="join"),
                "join",
                worker.producer,
                tuple(range(self.bounds.partitions)),
            )
            return
        partition = 0 if done in ("begin", "join") else int(done) + 1 if done.isdigit() else self.bounds.partitions
        if partition < self.bounds.partitions:
            what = (partition, worker.sequences[partition], nth, worker.number, worker.input)
            yield from self._send(state, nth, worker._replace(at=str(partition)), "produce", worker.producer, what)
        elif done != "offsets":
            yield from self._send(
                state, nth, worker._replace(at="offsets"), "offsets", worker.producer, (worker.input + 1,)
            )
        else:
            yield from self._end(state, nth, worker, True)
            if state.aborts:
                yield from self._end(state._replace(aborts=state.aborts - 1), nth, worker, False)

    def _end(self, state: State, nth: int, worker: Worker, commit: bool) -> Iterator[tuple[str, State]]:
        if commit:
            worker = worker._replace(asked=worker.asked | {worker.number})
        at = "commit" if commit else "abort"
        yield from self._send(state, nth, worker._replace(at=at), "end", worker.producer, (int(commit),))

    def _told(self, state: State, nth: int, worker: Worker, flight: Flight) -> Iterator[tuple[str, State]]:
        at = worker.at
        if flight.answer == NOBODY:
            yield f"worker {nth} is refused ({at}), and ends", _with(state, nth, worker._replace(at="dead"))
            if at in ("join", "offsets", "commit") or at.isdigit():
                yield from self._end(state, nth, worker, False)
            return
        if at in ("init", "bump"):
            worker = worker._replace(at="idle", producer=flight.answer, sequences=())
            yield f"worker {nth} is producer {flight.answer}", _with(state, nth, worker)
        elif at in ("commit", "abort"):
            commit = at == "commit"
            after = worker._replace(at="idle", told=(*worker.told, (worker.number, commit)))
            if flight.answer != worker.producer:
                after = after._replace(producer=flight.answer, sequences=())
            elif self.bounds.version == 1 and not commit and worker.unsure and self.rules.clients_bump:
                yield from self._send(state, nth, after._replace(at="bump"), "init", worker.producer, ())
                return
            yield f"worker {nth} is told of its {at}", _with(state, nth, after)
        else:
            if at.isdigit():
                partition = int(at)
                worker = worker._replace(sequences=_put(worker.sequences, partition, worker.sequences[partition] + 1))
            yield from self._go_on(state, nth, worker, at)

    def _give_up(self, state: State, nth: int, worker: Worker, flight: Flight) -> Iterator[tuple[str, State]]:
        """The reply is lost, or comes too late: what is asked goes on by itself."""
        state = _without(state, flight)._replace(late=state.late - 1)
        if flight.stage != 9 and flight.kind in self.bounds.late_kinds:
            state = _and(state, flight._replace(worker=-1))
        yield from self._send(state, nth, worker, flight.kind, flight.producer, flight.what)
        if worker.at.isdigit() or worker.at in ("join", "offsets"):
            yield from self._end(state, nth, worker._replace(unsure=True), False)

    def _send(
        self, state: State, nth: int, worker: Worker, kind: str, producer: tuple[int, int], what: tuple[int, ...]
    ) -> Iterator[tuple[str, State]]:
        flight = Flight(nth, nth, kind, producer, what)
        yield f"worker {nth} asks: {kind} {producer} {what}", _and(_with(state, nth, worker), flight)

    # -- brokers ------------------------------------------------------------------------------------------------------

    def _flight(self, state: State, flight: Flight) -> Iterator[tuple[str, State]]:
        rest = _without(state, flight)
        who = f"for worker {flight.owner}"
        if flight.kind == "produce":
            for label, after in self._produce(rest, flight):
                yield f"{who}: {label}", after
            return
        try:
            change = self._decide(state, flight)
        except TxnRefused as refused:
            row = state.row
            if not self.rules.outcome_told and refused.error_code == error_codes.INVALID_TXN_STATE and row is not None:
                yield f"{who}: {flight.kind} is called done", self._answer(rest, flight, (row.producer_id, row.epoch))
                return
            yield f"{who}: {flight.kind} is refused ({refused})", self._answer(rest, flight, NOBODY)
            return
        after = rest if change is None else self._done(rest, change)
        if self.rules.offsets_pending is False and flight.kind == "offsets":
            after = after._replace(offset=flight.what[0], pending=-1)
        row = after.row
        assert row is not None
        yield (
            f"{who}: {flight.kind} {flight.producer} is done",
            self._answer(after, flight, (row.producer_id, row.epoch)),
        )

    def _decide(self, state: State, flight: Flight) -> TxnChange | None:
        row, version, producer = state.row, self.bounds.version, flight.producer
        spare = 1 if row is None else row.producer_id + 1
        if flight.kind == "init":
            change = init_producer(row, 0, "t", TIMEOUT_MS, None if producer == NOBODY else producer, spare)
            if change is not None and change.row is not None and row is not None:
                if not self.rules.init_raises_epoch:
                    change.row = change.row._replace(producer_id=row.producer_id, epoch=row.epoch)
                if not self.rules.init_aborts:
                    change.end = None
            return change
        if flight.kind == "join":
            return enlist(row, state.taking_part, 0, producer, list(flight.what), 1)
        if flight.kind == "offsets":
            offset = OffsetRow("g", b"", 0, flight.what[0], -1, "", 0, -1)
            if version == 1 and row is not None and row.state != ONGOING:
                enlist(row, state.taking_part, 0, producer, [], 1)  # AddOffsetsToTxn, which a client sends before
            return enlist_offsets(row, 0, producer, [offset], None, version)
        commit = bool(flight.what[0])
        if version == 1:
            return end_version_1(row, 0, producer, commit)
        change = end_version_2(row, 0, producer, commit, spare)
        if change is not None and change.row is not None and row is not None and not self.rules.ends_raise_epoch:
            change.row = change.row._replace(producer_id=row.producer_id, epoch=row.epoch)
            if change.end is not None:
                change.end = change.end._replace(epoch=row.epoch)
        return change

    def _done(self, state: State, change: TxnChange) -> State:
        """One transaction of the store."""
        row = change.row
        assert row is not None
        taking_part = state.taking_part.union(change.partition_ids)
        pending = change.offsets[-1].offset if change.offsets else state.pending
        state = state._replace(row=row._replace(started_ms=0, updated_ms=0), taking_part=taking_part, pending=pending)
        end = change.end
        if end is None:
            return state
        marker = (end.producer_id, end.epoch, MARKER, int(end.commit))
        if self.rules.end_at_once:
            logs = tuple(
                (*log, marker) if partition in taking_part else log for partition, log in enumerate(state.logs)
            )
            state = state._replace(logs=logs)
        else:
            state = state._replace(owed=tuple(sorted((*state.owed, *((each, marker) for each in taking_part)))))
        offset = pending if end.commit and pending >= 0 else state.offset
        return state._replace(taking_part=frozenset(), pending=-1, offset=offset)

    def _produce(self, rest: State, flight: Flight) -> Iterator[tuple[str, State]]:
        partition, sequence, *tag = flight.what
        log = rest.logs[partition]
        if flight.stage == 0:
            if not flight.again:
                for producer, seq, known in rest.known:
                    if producer == flight.producer and known == partition:
                        yield self._decided("remembers the transaction", rest, flight._replace(guard=seq))
            yield self._joined(rest, flight, partition)
        elif self.rules.ends_compared and flight.end != len(log):
            yield self._decided("loses a race", rest, flight)
        elif flight.stage == 1 or self._holds(rest, flight.guard, partition):
            entry = (*flight.producer, sequence, *tag)
            after = rest._replace(logs=_put(rest.logs, partition, (*log, entry)))
            yield f"appends {entry} to partition {partition}", self._answer(after, flight, flight.producer)
        elif flight.again:
            yield "the transaction is over", self._answer(rest, flight, NOBODY)
        else:
            yield "the transaction is over, asks once more", _and(rest, flight._replace(stage=0, end=-1, again=True))

    def _joined(self, rest: State, flight: Flight, partition: int) -> tuple[str, State]:
        """A guard from the store."""
        row = rest.row
        try:
            if self.bounds.version == 1:
                refused = verify(row, rest.taking_part, flight.producer, [partition])
                if refused:
                    raise refused[partition]
            else:
                change = enlist(row, rest.taking_part, 0, flight.producer, [partition], 2)
                if change is not None:
                    rest = self._done(rest, change)
        except TxnRefused as refusal:
            return f"a batch is refused ({refusal})", self._answer(rest, flight, NOBODY)
        assert rest.row is not None
        seq = rest.row.seq
        rest = rest._replace(known=rest.known | {(flight.producer, seq, partition)})
        return self._decided(f"partition {partition} takes part", rest, flight._replace(guard=seq))

    def _decided(self, why: str, rest: State, flight: Flight) -> tuple[str, State]:
        """What becomes of a batch, on the partition as it is now. The guard is kept, whether it is needed or not."""
        partition, sequence = flight.what[:2]
        log = rest.logs[partition]
        states = fold(log)
        header: Any = Header(flight.producer, sequence)
        if self.rules.sequences:
            try:
                repeated = states.check(header, self.bounds.version >= 2)
            except Refused as refused:
                return f"{why}; the batch is refused ({refused})", self._answer(rest, flight, NOBODY)
            if repeated is not None:
                return f"{why}; the batch is there already", self._answer(rest, flight, flight.producer)
        opens = states.opens(header)
        return f"{why}; decides on a batch", _and(rest, flight._replace(stage=2 if opens else 1, end=len(log)))

    def _holds(self, state: State, seq: int, partition: int) -> bool:
        if not self.rules.guarded:
            return True
        row = state.row
        if row is None or row.state != ONGOING or partition not in state.taking_part:
            return False
        return row.seq == seq or not self.rules.guard_names_transaction

    def _answer(self, state: State, flight: Flight, answer: tuple[int, int]) -> State:
        if flight.worker < 0:
            return state
        return _and(
            state, Flight(flight.worker, flight.owner, flight.kind, flight.producer, flight.what, 9, answer=answer)
        )


def _put(values: tuple, at: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:at], value, *values[at + 1 :])


def _with(state: State, nth: int, worker: Worker) -> State:
    return state._replace(workers=_put(state.workers, nth, worker))


def _without(state: State, flight: Flight) -> State:
    flights = list(state.flights)
    flights.remove(flight)
    return state._replace(flights=tuple(flights))


def _and(state: State, flight: Flight) -> State:
    return state._replace(flights=tuple(sorted((*state.flights, flight))))


def explore(bounds: Bounds = Bounds(), rules: Rules = Rules()) -> Result:  # noqa: B008 (both are values)
    """Breadth first, until everything was seen or something is wrong."""
    world = World(bounds, rules)
    first = world.first()
    before: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([(first, 0)])
    steps = depth = 0
    while queue:
        state, depth = queue.popleft()
        for label, after in world.steps(state):
            steps += 1
            if after in before:
                continue
            before[after] = (state, label)
            if said := wrong(after):
                return Result(len(before), steps, depth, said, _way(before, after))
            if len(before) > bounds.states:
                raise MemoryError(f"more than {bounds.states} states")
            queue.append((after, depth + 1))
    return Result(len(before), steps, depth, "", [])


def _way(before: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way = []
    at = before[state]
    while at is not None:
        way.append(at[1])
        at = before[at[0]]
    return way[::-1]


def main(arguments: Sequence[str]) -> int:
    """Explore a world with these bounds, `name=number` each, and say what was seen."""
    began = time.monotonic()
    bounds = Bounds()._replace(**{name: int(value) for name, _, value in (each.partition("=") for each in arguments)})  # type: ignore[arg-type]
    found = explore(bounds)
    took = time.monotonic() - began
    print(f"{bounds}\n{found.states} states, {found.steps} steps, {found.depth} deep, {took:.1f} s")
    print("\n".join([found.wrong, *found.way]) if found.wrong else "nothing is wrong")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
