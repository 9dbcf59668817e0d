"""Batches that leave a lane from wherever they stand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from moldau.log.commit_lanes import WAITING, Lane, Queued, Upload
from moldau.metadata.rows_txn import TxnGuard


def queued(lane: Lane, name: bytes, guard: TxnGuard | None, upload: Upload | None = None) -> Queued:
    append: Any = SimpleNamespace(batch=name * 10, header=SimpleNamespace(last_offset_delta=1), guard=guard)
    made = Queued(append, lane, 0.0)
    made.upload = upload
    lane.queue.append(made)
    if upload is not WAITING:
        lane.ahead += made.offsets
    if upload is None:
        lane.express_bytes += made.size
    else:
        lane.standard += 1
    return made


def test_those_of_a_guard_leave_and_the_others_keep_their_order() -> None:
    lane = Lane(7)
    over, other = TxnGuard(7, "t", 1), TxnGuard(7, "t", 2)
    first = queued(lane, b"a", over)
    second = queued(lane, b"b", None)
    third = queued(lane, b"c", TxnGuard(7, "t", 1), Upload())
    fourth = queued(lane, b"d", over, WAITING)
    fifth = queued(lane, b"e", other)
    assert (lane.ahead, lane.express_bytes, lane.standard) == (8, 30, 2)
    assert lane.withdraw(over) == [first, third, fourth]
    assert list(lane.queue) == [second, fifth]
    assert [each.answered for each in (first, second, third, fourth, fifth)] == [True, False, True, True, False]
    assert (lane.ahead, lane.express_bytes, lane.standard) == (4, 20, 0)
    assert lane.withdraw(over) == []
    assert lane.withdraw(other) == [fifth]
    assert lane.pop() is second
    assert (lane.ahead, lane.express_bytes, lane.standard, lane.may_commit) == (0, 0, 0, False)
