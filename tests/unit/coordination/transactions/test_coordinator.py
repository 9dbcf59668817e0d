"""The coordinator on a store of rows: what it asks the store, what it remembers, replies that are lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.aio import run
from support.txn_store import RowsOnly

from moldau.coordination.transactions.config import TransactionConfig
from moldau.coordination.transactions.coordinator import TransactionCoordinator
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.rows_groups import OffsetRow
from moldau.metadata.rows_txn import ABORTED, ONGOING, End, TxnGuard
from moldau.protocol import error_codes as e


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run it on a loop of its own."""

    def it() -> None:
        run(test())

    it.__name__, it.__doc__ = test.__name__, test.__doc__
    return it


OFFSET = OffsetRow("g", bytes(16), 0, 5, -1, "", 1, -1)


class World:
    """A store, and brokers that share it."""

    def __init__(self, brokers: int = 1, feature: int = 2) -> None:
        self.now = 1_000
        self.store = RowsOnly(lambda: self.now)
        self._ids = count(100)
        config = TransactionConfig(900_000, 604_800_000)
        self.brokers = [
            TransactionCoordinator(
                self.store,
                lambda change: change(),
                config,
                self._new_id,
                lambda: feature,
                lambda: self.now,
                sole=brokers == 1,
            )
            for _ in range(brokers)
        ]
        self.it = self.brokers[0]

    async def _new_id(self) -> int:
        return next(self._ids)


async def refused(work: Awaitable[Any]) -> int:
    with pytest.raises(TxnRefused) as raised:
        await work
    return raised.value.error_code


@on_a_loop
async def test_a_transaction_costs_as_many_changes_as_it_must() -> None:
    world = World()
    producer = await world.it.init_producer("t", 60_000, None)
    assert producer == (100, 0)
    known = await world.it.join("t", producer, [1, 2], 2)
    assert known.guards == {1: TxnGuard(1, "t", 1), 2: TxnGuard(2, "t", 1)}
    assert world.it.is_open(known.guards[1])
    assert world.store.changes == 2
    assert await world.it.join("t", producer, [2], 2) is known
    assert await world.it.join("t", producer, [2, 3], 2) is known
    assert world.store.changes == 3
    await world.it.commit_offsets("t", producer, [OFFSET], None, 2)
    assert await world.it.pending_offsets("g", None) == [OFFSET.key]
    assert await world.it.end("t", producer, True, 2) == (100, 1)
    assert world.store.ends == [("t", End(True, 100, 1), [1, 2, 3], [OFFSET])]
    assert not world.it.is_open(known.guards[1])
    assert await world.it.pending_offsets("g", None) == []
    assert await world.it.end("t", producer, True, 2) == (100, 1)
    assert len(world.store.ends) == 1


@on_a_loop
async def test_before_an_end_its_guards_are_worth_nothing() -> None:
    world = World()
    producer = await world.it.init_producer("t", 60_000, None)
    known = await world.it.join("t", producer, [1], 1)
    seen = []
    change = world.store.change

    async def looked(transactional_id: str, decide: Any) -> Any:
        seen.append(world.it.is_open(known.guards[1]))
        return await change(transactional_id, decide)

    world.store.change = looked  # type: ignore[method-assign]
    assert await refused(world.it.end("t", (100, 9), True, 1)) == e.PRODUCER_FENCED
    assert world.it.is_open(known.guards[1])  # of somebody who cannot end it
    await world.it.end("t", producer, True, 1)
    assert seen == [True, False]


@on_a_loop
async def test_requests_that_are_no_requests() -> None:
    world = World()
    assert await refused(world.it.init_producer("", 60_000, None)) == e.INVALID_REQUEST
    for timeout in (-1, 0, 900_001):
        assert await refused(world.it.init_producer("t", timeout, None)) == e.INVALID_TRANSACTION_TIMEOUT
    assert await refused(world.it.end("t", (1, 1), True, 2)) == e.INVALID_PRODUCER_ID_MAPPING
    assert world.store.rows == {}


@on_a_loop
async def test_version_1_verifies() -> None:
    world = World()
    producer = await world.it.init_producer("t", 60_000, None)
    await world.it.join("t", producer, [1], 1)
    known, missing = await world.it.verify("t", producer, [1, 2])
    assert known is not None
    assert list(known.guards) == [1]
    assert {key: each.error_code for key, each in missing.items()} == {2: e.INVALID_TXN_STATE}
    await world.it.end("t", producer, False, 1)
    known, missing = await world.it.verify("t", producer, [1])
    assert known is None
    assert list(missing) == [1]


@on_a_loop
async def test_an_end_whose_reply_is_lost_is_asked_again() -> None:
    for version in (1, 2):
        world = World()
        producer = await world.it.init_producer("t", 60_000, None)
        await world.it.join("t", producer, [1], version)
        world.store.lose = 1
        with pytest.raises(StoreUnavailable):
            await world.it.end("t", producer, True, version)
        assert await world.it.end("t", producer, True, version) == (100, version - 1)
        assert len(world.store.ends) == 1
        assert await refused(world.it.end("t", producer, False, version)) == e.INVALID_TXN_STATE


@on_a_loop
async def test_another_broker_goes_on() -> None:
    world = World(brokers=2)
    one, other = world.brokers
    producer = await one.init_producer("t", 60_000, None)
    stale = await one.join("t", producer, [1], 1)
    await other.end("t", producer, True, 1)
    fresh = await one.join("t", producer, [1], 1)
    assert (stale.seq, fresh.seq) == (1, 2)
    assert world.store.rows["t"].state == ONGOING


@on_a_loop
async def test_a_zombie_is_fenced_and_what_it_left_is_aborted() -> None:
    world = World(brokers=2)
    one, other = world.brokers
    zombie = await one.init_producer("t", 60_000, None)
    await one.join("t", zombie, [1], 2)
    producer = await other.init_producer("t", 60_000, None)
    assert producer == (100, 2)
    assert world.store.ends == [("t", End(False, 100, 1), [1], [])]
    assert await refused(one.join("t", zombie, [2], 2)) == e.PRODUCER_FENCED
    for commit in (True, False):
        assert await refused(one.end("t", zombie, commit, 2)) == e.PRODUCER_FENCED
    assert await refused(one.init_producer("t", 60_000, zombie)) == e.PRODUCER_FENCED
    assert world.store.rows["t"].epoch == 2


@on_a_loop
async def test_time_out() -> None:
    world = World()
    producer = await world.it.init_producer("t", 5_000, None)
    known = await world.it.join("t", producer, [1], 1)
    world.now += 4_999
    assert await world.it.abort_overdue() == 0
    world.now += 1
    assert await world.it.abort_overdue() == 1
    assert await world.it.abort_overdue() == 0
    assert not world.it.is_open(known.guards[1])
    assert world.store.rows["t"].state == ABORTED
    assert await refused(world.it.end("t", producer, True, 1)) == e.PRODUCER_FENCED


@on_a_loop
async def test_an_administrator_aborts() -> None:
    world = World()
    producer = await world.it.init_producer("t", 5_000, None)
    assert not await world.it.abort(producer)
    await world.it.join("t", producer, [1], 1)
    assert not await world.it.abort((100, 5))
    assert await world.it.abort(producer)
    assert world.store.ends == [("t", End(False, 100, 1), [1], [])]


@on_a_loop
async def test_expiry() -> None:
    world = World()
    await world.it.init_producer("old", 5_000, None)
    open_one = await world.it.init_producer("open", 5_000, None)
    await world.it.join("open", open_one, [1], 2)
    world.now += 604_800_001
    await world.it.init_producer("new", 5_000, None)
    assert await world.it.expire_idle() == 1
    assert sorted(world.store.rows) == ["new", "open"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["init", "again", "join", "commit", "abort", "repeat", "late", "time"]),
            st.integers(0, 1),
            st.booleans(),
        ),
        max_size=30,
    ),
    st.sampled_from([1, 2]),
)
def test_whatever_two_instances_do_one_end_follows_each_beginning(steps: list[Any], version: int) -> None:
    """Two instances, two brokers, lost replies. Each transaction ends once, as its owner was told, and never by an older epoch."""

    async def story() -> None:
        world = World(brokers=2)
        owners: dict[int, tuple[int, int]] = {}
        told: dict[tuple[int, int], bool] = {}
        last: list[tuple[tuple[int, int], bool]] = []
        begun = 0
        for what, who, lost in steps:
            broker = world.brokers[(who + len(told)) % 2]
            world.store.lose = int(lost)
            mine = owners.get(who)
            before = len(world.store.ends)
            try:
                if what == "init":
                    owners[who] = await broker.init_producer("t", 60_000, None)
                elif mine is None:
                    continue
                elif what == "again":
                    owners[who] = await broker.init_producer("t", 60_000, mine)
                elif what == "join":
                    await broker.join("t", mine, [1, 2], version)
                elif what in ("commit", "abort"):
                    last.append((mine, what == "commit"))
                    owners[who] = await broker.end("t", mine, what == "commit", version)
                    told[mine] = what == "commit"
                elif what == "repeat" and last and version == 2:
                    producer, commit = last[-1]
                    at = world.store.rows["t"]
                    ours = (at.producer_id, at.epoch) == producer
                    await broker.end("t", producer, commit, version)
                    assert ours or len(world.store.ends) == before
                elif what == "late" and len(last) > 1 and version == 2:
                    producer, commit = last[0]
                    if producer != mine and producer not in owners.values():
                        await broker.end("t", producer, commit, version)
                        at = world.store.rows["t"]
                        assert (at.previous_id, at.previous_epoch) == producer or len(world.store.ends) > before
                elif what == "time":
                    world.now += 60_000
                    await broker.abort_overdue()
            except (TxnRefused, StoreUnavailable):
                pass
            world.store.lose = 0
            row = world.store.rows.get("t")
            if row is not None:
                begun = max(begun, row.seq)
                assert row.seq - len(world.store.ends) == (row.state == ONGOING)
            if version == 2:
                epochs = [(end.producer_id, end.epoch) for _, end, _, _ in world.store.ends]
                assert epochs == sorted(set(epochs))

    run(story())
