"""Notes on their way into the journal: what comes while one section of them is being written shares the next.

A *change* is asked for its note when the section is made, in the order of arrival. So it decides on what everybody before it has left in memory, and what it
decides stands in the journal in that order; markers get their offsets in the same step, as batches do. What is in memory may run ahead of what is
stored. So nobody is told anything, not even that there was nothing to do, before what it was decided on is stored; if that fails, all are told so, and
what is in memory is forgotten (`failed`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from moldau.clock import Clock

from .note_section import NoteSection
from .sequencer import Sequencer

_SECTION_BYTES = 1 << 20
"""A section of notes takes no more when it holds this much."""
_LONE_SECTIONS = 16
"""After so many sections of one change there seems to be nobody to wait for (as in `Appender`)."""


class Change(Protocol):
    """What wants to be written. Everything is called on the loop's thread. A `decide` that raises has changed nothing, and has `failed`."""

    def decide(self, section: NoteSection) -> None:
        """Add a note to the section, or none, and change what is in memory accordingly."""
        ...

    def written(self, blob_id: int, position: int) -> None:
        """All that it was decided on is stored; of its section (blob -1: it has none) the notes begin there."""
        ...

    def failed(self, error: Exception) -> None:
        """It is not stored: what `decide` changed in memory is wrong."""
        ...


class NoteQueue:
    """See the module's text."""

    def __init__(self, sequencer: Sequencer, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._sequencer = sequencer
        self._clock = clock
        self._loop = loop
        self._pending: deque[Change] = deque()
        self._in_flight: list[Change] | None = None
        self._scheduled = False
        self._lone = 0
        self.sections = 0

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is being written."""
        return not self._pending and self._in_flight is None

    def submit(self, change: Change) -> None:
        """Take a change; it may be decided, and written, before this returns."""
        self._pending.append(change)
        if self._in_flight is None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)
            if self._lone >= _LONE_SECTIONS:
                self._write()

    def _begin(self) -> None:
        self._scheduled = False
        if self._pending and self._lone >= _LONE_SECTIONS:
            self._lone = 0  # somebody came after the one that did not wait
        self._write()

    def _write(self) -> None:
        pending = self._pending
        if len(pending) == 1:
            self._lone += 1
        elif pending:
            self._lone = 0
        while pending and self._in_flight is None:
            section = NoteSection(self._clock())
            changes: list[Change] = []
            while pending and section.length < _SECTION_BYTES:
                change = pending.popleft()
                try:
                    change.decide(section)
                except Exception as error:
                    change.failed(error)
                else:
                    changes.append(change)
            if not len(section):
                self._tell(changes, -1, -1, None)
                continue
            self._in_flight = changes
            self.sections += 1
            self._sequencer.commit(section, self._written)

    def _written(self, section: NoteSection, _: object, error: Exception | None) -> None:
        changes, self._in_flight = self._in_flight, None
        assert changes is not None
        self._tell(changes, section.blob_id, section.position, error)
        if self._pending and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)

    def _tell(self, changes: list[Change], blob_id: int, position: int, error: Exception | None) -> None:
        for change in changes:
            try:
                if error is None:
                    change.written(blob_id, position)
                else:
                    change.failed(error)
            except Exception as fault:  # ours; but the others must still be told
                self._loop.call_exception_handler({"message": "telling of a note failed", "exception": fault})
