"""Answers to batches of shared stores: what is not answered yet is counted, and each batch leaves its lane with its answer."""

from __future__ import annotations

import asyncio

from moldau.metadata.rows_txn import TxnGuard

from .commit_lanes import Lane, Queued
from .flush import Append
from .view import PartitionView
from .views import Views


class Answers:
    """`pending_bytes` and `pending_batches` are of batches without an answer, wherever they are."""

    def __init__(self, views: Views, loop: asyncio.AbstractEventLoop) -> None:
        self._views = views
        self._loop = loop
        self._waiting: list[asyncio.Future[None]] = []
        self.pending_bytes = 0
        self.pending_batches = 0

    def expect(self, queued: Queued) -> None:
        """It has come."""
        self.pending_bytes += queued.size
        self.pending_batches += 1

    def all_given(self) -> asyncio.Future[None]:
        """Done when nothing is left to answer, of which there is something now."""
        given: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(given)
        return given

    def appended(self, lane: Lane, base_offset: int) -> None:
        """The head of the lane is in the log there, by this commit or an earlier one."""
        append = self._pop(lane).append
        append.base_offset = base_offset
        self._tell(append, self._views.get(lane.partition_id))

    def fail(self, lane: Lane, code: int, message: str) -> None:
        """The head of the lane."""
        append = self._pop(lane).append
        append.error_code, append.error_message = code, message
        self._tell(append, self._views.get(lane.partition_id))

    def fail_guarded(self, lane: Lane, guard: TxnGuard, code: int, message: str) -> list[Queued]:
        """All of the lane that would open that transaction, for which it is too late; in their order. Returns them."""
        gone = lane.withdraw(guard)
        for queued in gone:
            self._count(queued)
        for queued in gone:
            append = queued.append
            append.error_code, append.error_message = code, message
            self._tell(append, self._views.get(lane.partition_id))
        return gone

    def fail_ready(self, lane: Lane, code: int, message: str) -> None:
        """The head, and all behind it that could be committed: for each of them the answer would be the same, after the same wait."""
        while lane.may_commit:
            self.fail(lane, code, message)

    def _pop(self, lane: Lane) -> Queued:
        queued = lane.pop()
        self._count(queued)
        return queued

    def _count(self, queued: Queued) -> None:
        """It is as good as answered."""
        self.pending_bytes -= queued.size
        self.pending_batches -= 1
        if self._waiting and not self.pending_batches:
            for given in self._waiting:
                if not given.done():
                    given.set_result(None)
            self._waiting.clear()

    def _tell(self, append: Append, view: PartitionView | None) -> None:
        if view is not None:
            append.view = view
        try:
            append.done(append)
        except Exception as error:
            # our fault, but those behind it must still be told
            self._loop.call_exception_handler({"message": "an answer to an append failed", "exception": error})
