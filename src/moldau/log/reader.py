"""Reading a partition: which bytes answer a fetch at an offset, and where they come from.

First the tail cache; else the extents, from the one that holds the offset, over inline rows, write-ahead ranges and segments, until
the limit is full. Whole batches are returned, the first one however large. Cost is O(bytes returned): readers that go through an
extent step by step are remembered (`view.hints`); others find their place by a segment's index, or scan the batch headers of an extent
that has none.

What comes from the stores is checked before anybody gets it: each batch's checksum, and that its base offset is the one the row says (a
range of another partition, or of another time, has good checksums too). Where brokers share the stores (`guesses`) base offsets were written
before the commit decided: there all batches of an extent are as far off as the first, or it is damage, and get the row's offsets. A segment's
are final everywhere. The leader epoch lies outside the checksum: the row's is put in. A right guess costs nothing, a wrong one a copy. The
tail cache is not checked again: its batches were when they arrived.

Where brokers share the stores, what is old is read by a pool of its own (`cold`, see `moldau.log.cold`), the blobs of one answer are fetched
beside each other, and inline bytes come from a small cache (`inline`), since other brokers wrote most of them.

Bytes that are not where fresh rows say are damage (DamagedLog); a store that does not answer is an outage (BlobError), and passes.

The steps are one generator that asks for bytes and is given them. `read_now` drives it with what can be had without waiting (page cache)
and answers None if that is not enough; `read` drives it with awaits, so that a cold disk never blocks the loop.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator
from operator import attrgetter
from struct import Struct
from struct import error as StructError

from moldau.blobs.ports import BlobError, BlobMissing, BlobStore
from moldau.metadata.ports import LogStore
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, Extent
from moldau.records.batch import ATTRIBUTES_AT, HEADER_BYTES, LENGTH_END, MAGIC_V2, set_base_offset
from moldau.records.crc import crc32c

from .cold import ColdReads, Reads
from .damage import DamagedLog, head_of, shift_of, where
from .extent_run import run_length, verify
from .inline_cache import InlineCache
from .isolation import below
from .segment import INDEX_INTERVAL_BYTES, BadSegment, Index
from .tail_cache import TailCache
from .view import PartitionView

log = logging.getLogger(__name__)

_BASE_AND_LENGTH = Struct(">qi")
_base_and_length = _BASE_AND_LENGTH.unpack_from
_LAST_DELTA_AT = 23
_INT32 = Struct(">i")
_HINTS_MAX = 64
_SCAN_BYTES = 1 << 20
_ATTEMPTS = 4
"""A byte is moved at most this often, so somebody who looks again this often finds it."""
_WINDOWS_MAX = 64
"""Partitions with rows kept for a consumer far behind."""
WINDOW_SECONDS = 10.0
"""So long at most; what another broker's cleaner took out meanwhile is then read no more, in whichever cache its bytes still are."""
_EXTENTS_MAX = 512
"""Extents in one answer at most."""
NO_END = 1 << 62
"""Of readers who get whatever is committed to the log."""

_NONSENSE = (StructError, TypeError, ValueError, OverflowError)
"""What becomes of a row in which a bit was flipped, so that a number is none, or none that can be."""

_last_offset = attrgetter("last_offset")


class _Window:
    """Rows that a reader far behind goes on with, for a while, as long as its view lives: a new one may know less of what was aborted in old rows."""

    __slots__ = ("extents", "since", "view")

    def __init__(self, view: PartitionView, extents: list[Extent]) -> None:
        self.view = view
        self.since = time.perf_counter()
        self.extents = extents

    def holds(self, view: PartitionView, offset: int) -> bool:
        extents = self.extents
        return (
            self.view is view
            and extents[0].base_offset <= offset <= extents[-1].last_offset
            and time.perf_counter() - self.since <= WINDOW_SECONDS
        )


Buffer = bytes | bytearray | memoryview
Wanted = tuple[Extent, int, int]
"""(extent, position in the extent, length): bytes asked for."""
Steps = Generator[Wanted, Buffer, tuple[list[Buffer], int]]


class Reader:
    """Reads for fetches and look-ups."""

    def __init__(
        self,
        store: LogStore,
        blobs: BlobStore,
        cache: TailCache,
        *,
        guesses: bool = False,
        cold: ColdReads | None = None,
        inline: InlineCache | None = None,
    ) -> None:
        self._guesses = guesses
        self._cold = cold
        self.inline = inline
        self._store = store
        self._blobs = blobs
        self._cache = cache
        self._windows: OrderedDict[int, _Window] = OrderedDict()
        self.copied_bytes = 0
        """Given to readers from the stores, by copying and checking them here."""

    def read_now(
        self, view: PartitionView, offset: int, max_bytes: int, first_whole: bool, end: int = NO_END
    ) -> tuple[list[Buffer], int] | None:
        """(buffers, their bytes) from the batch that holds `offset` to those below `end`, or None: use `read`. Raises DamagedLog."""
        found: tuple[list[Buffer], int] | None = self._cache.read(view, offset, max_bytes, first_whole)
        if found is None:
            found = self._read_now(view, offset, max_bytes, first_whole)
            if found is None:
                return None
            self.copied_bytes += found[1]
        return found if end >= view.high_watermark else below(found, end)

    def _read_now(
        self, view: PartitionView, offset: int, max_bytes: int, first_whole: bool
    ) -> tuple[list[Buffer], int] | None:
        if offset >= view.high_watermark:
            return [], 0
        extents, at = self._known(view, offset)
        if at == len(extents):
            return None
        try:
            if extents[at].base_offset == offset:
                end, total = run_length(extents, at, max_bytes)
                if total:
                    return self._whole(extents[at:end], total)
            steps = _steps(view, extents[at : at + _EXTENTS_MAX], offset, max_bytes, first_whole, self._guesses)
            wanted = next(steps)
            while True:
                extent, position, length = wanted
                data = self._bytes_now(extent, position, length)
                if data is None:
                    return None
                wanted = steps.send(data)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except BlobError:
            return None  # `read` looks again, with the rows as they are now
        except _NONSENSE as error:
            raise DamagedLog(
                f"partition {view.partition_id} offset {offset}: rows say what cannot be: {error}"
            ) from error

    def _of(self, extent: Extent) -> Reads:
        return self._blobs if self._cold is None else self._cold.of(extent)

    def _bytes_now(self, extent: Extent, position: int, length: int) -> Buffer | None:
        if extent.kind != KIND_INLINE:
            return self._of(extent).read_now(extent.blob_id, extent.position + position, length)
        data = None if self.inline is None else self.inline.read_now(extent.blob_id)
        return None if data is None else _part(data, extent, position, length)

    def _known(self, view: PartitionView, offset: int) -> tuple[list[Extent], int]:
        """Extents in memory and the index of the one that holds `offset`; an index past the end when there is none."""
        if offset >= view.tail_start:
            return view.extents, view.find(offset)
        window = self._windows.get(view.partition_id)
        if window is None or not window.holds(view, offset):
            return [], 0
        self._windows.move_to_end(view.partition_id)
        return window.extents, bisect_left(window.extents, offset, key=_last_offset)

    def _whole(self, run: list[Extent], total: int) -> tuple[list[Buffer], int] | None:
        buffer = bytearray(total)
        view = memoryview(buffer)
        at = 0
        for extent in run:
            if not self._of(extent).read_into_now(extent.blob_id, extent.position, view[at : at + extent.length]):
                return None
            verify(buffer, view, at, extent, self._guesses)
            at += extent.length
        return [buffer], total

    async def read(
        self, view: PartitionView, offset: int, max_bytes: int, first_whole: bool, end: int = NO_END
    ) -> tuple[list[Buffer], int]:
        """As `read_now`, waiting for what it takes. Raises DamagedLog, and BlobError or StoreError when a store does not answer."""
        found = await self._read(view, offset, max_bytes, first_whole)
        self.copied_bytes += found[1]
        return found if end >= view.high_watermark else below(found, end)

    async def _read(
        self, view: PartitionView, offset: int, max_bytes: int, first_whole: bool
    ) -> tuple[list[Buffer], int]:
        for attempt in range(_ATTEMPTS):
            known, at = self._known(view, offset) if attempt == 0 else ([], 0)
            extents = known[at : at + _EXTENTS_MAX]
            if not extents:
                extents = await self._store.extents_from(view.partition_id, offset, _EXTENTS_MAX)
            extents = [extent for extent in extents if extent.base_offset < view.high_watermark]
            if not extents:
                return [], 0
            if extents[0].base_offset > offset >= view.log_start_offset and not view.dropped:
                raise DamagedLog(
                    f"partition {view.partition_id} offset {offset}: no row holds it, the next one begins at {extents[0].base_offset}"
                )
            if at == len(known):
                self._keep(view, extents)
            self._warm(extents, max(offset, extents[0].base_offset), max_bytes)
            steps = _steps(view, extents, max(offset, extents[0].base_offset), max_bytes, first_whole, self._guesses)
            try:
                wanted = next(steps)
                while True:
                    try:
                        data = await self._bytes(*wanted)
                    except BlobError as error:
                        wanted = steps.throw(error)
                    else:
                        wanted = steps.send(data)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            except _NONSENSE as error:
                raise DamagedLog(
                    f"partition {view.partition_id} offset {offset}: rows say what cannot be: {error}"
                ) from error
            except BlobMissing as error:
                # maintenance may have moved the bytes between the two reads: again with fresh rows (rule 4)
                if attempt == _ATTEMPTS - 1:
                    raise DamagedLog(f"partition {view.partition_id} offset {offset}: {error}") from error
        raise AssertionError("unreachable")

    def _keep(self, view: PartitionView, extents: list[Extent]) -> None:
        """A consumer far behind goes on where it is: its next reads need no query. Rows that maintenance replaces meanwhile name bytes
        that are still there, or no longer: then `read` asks for fresh ones.
        """
        self._windows[view.partition_id] = _Window(view, extents)
        self._windows.move_to_end(view.partition_id)
        if len(self._windows) > _WINDOWS_MAX:
            self._windows.popitem(last=False)

    def _warm(self, extents: list[Extent], offset: int, max_bytes: int) -> None:
        """Have all blobs of an answer fetched beside each other: the steps ask for one after the other."""
        if self._cold is None:
            return
        room = max_bytes
        for extent in extents:
            if room <= 0:
                return
            if extent.base_offset > offset and extent.kind != KIND_INLINE:
                self._cold.of(extent).warm(extent.blob_id, extent.position, min(extent.length, room))
            room -= extent.length if extent.base_offset >= offset else 0

    async def _bytes(self, extent: Extent, position: int, length: int) -> Buffer:
        if extent.kind != KIND_INLINE:
            return await self._of(extent).read(extent.blob_id, extent.position + position, length)
        data = await (self._store if self.inline is None else self.inline).read_inline(extent.blob_id)
        if data is None:
            raise BlobMissing(f"inline blob {extent.blob_id:016x} is gone")
        return _part(data, extent, position, length)

    async def extent_bytes(self, extent: Extent) -> Buffer:
        """All batches of one extent, with their offsets in place.

        Raises BlobError, also where maintenance moved them, and DamagedLog.
        """
        data = await self._bytes(extent, 0, extent.length)
        kept, _, patched = _whole_batches(data, extent.base_offset, extent, self._guesses)
        if kept != len(data):
            raise DamagedLog(f"{where(extent)} is not whole")
        return data if patched is None else patched

    async def segment_index(self, extent: Extent) -> Index | None:
        """The index of an extent that is a segment; None of others, and of one that is damaged. Raises BlobError."""
        if extent.kind != KIND_SEGMENT:
            return None
        try:
            return Index(await self._bytes(extent, -extent.position, extent.position))
        except BadSegment as damage:
            log.error("event=damaged_index blob=%016x what='%s' advice='run moldau inspect'", extent.blob_id, damage)
            return None

    async def segment_part(self, extent: Extent, position: int, length: int) -> Buffer:
        """A range of a segment's records, whose offsets are final. Raises BlobError."""
        return await self._bytes(extent, position, length)


def _part(data: bytes, extent: Extent, position: int, length: int) -> memoryview:
    """A range of an extent out of the whole flush. Raises BlobMissing."""
    start = extent.position + position
    if len(data) < start + length:
        raise BlobMissing(f"inline blob {extent.blob_id:016x} is too short")
    return memoryview(data)[start : start + length]


def _steps(
    view: PartitionView, extents: list[Extent], offset: int, max_bytes: int, first_whole: bool, guesses: bool
) -> Steps:
    """Ask for bytes until the limit is full. Pure but for the hints it leaves on the view."""
    taken: list[Buffer] = []
    total = 0
    following = extents[0].base_offset if extents else 0
    for extent in extents:
        if (total and total + HEADER_BYTES > max_bytes) or extent.base_offset != following:
            break
        following = extent.last_offset + 1
        position = 0
        base = extent.base_offset
        if offset > base and not taken:
            position, base = yield from _seek(view, extent, offset)
        room = max_bytes - total
        length = min(extent.length - position, max(room, HEADER_BYTES))
        try:
            data: Buffer = yield extent, position, length
        except BlobError:
            if taken:
                break  # what there is is a good answer; the next one begins with fresh rows
            raise
        kept, next_base, patched = _whole_batches(data, base, extent, guesses)
        if not kept and not taken:
            if not first_whole:
                break
            size = _base_and_length(data, 0)[1] + LENGTH_END
            if size > extent.length - position:
                raise DamagedLog(f"batch at {base} is longer than {where(extent)}")
            data = yield extent, position, size
            kept, next_base, patched = _whole_batches(data, base, extent, guesses)
            if not kept:
                raise DamagedLog(f"batch at {base} of {where(extent)} cannot be read")
        if kept:
            taken.append(memoryview(data if patched is None else patched)[:kept])
            total += kept
        if kept < extent.length - position:
            if kept:
                _hint(view, next_base, extent, position + kept)
            break
        if next_base != following:
            raise DamagedLog(f"{where(extent)} is not whole")
    return taken, total


def _seek(view: PartitionView, extent: Extent, offset: int) -> Generator[Wanted, Buffer, tuple[int, int]]:
    """Position in the extent and base offset of the batch that holds `offset`."""
    hint = view.hints.get(offset)
    if hint is not None and hint[0] == extent.blob_id and extent.position <= hint[1] < extent.position + extent.length:
        return hint[1] - extent.position, offset
    position, base, step = 0, extent.base_offset, _SCAN_BYTES
    if extent.kind == KIND_SEGMENT and extent.length > INDEX_INTERVAL_BYTES:
        try:
            position, base = Index((yield extent, -extent.position, extent.position)).seek(offset)
            step = INDEX_INTERVAL_BYTES
        except BadSegment as damage:  # the batches themselves still tell
            log.error("event=damaged_index blob=%016x what='%s' advice='run moldau inspect'", extent.blob_id, damage)
    while True:
        length = min(extent.length - position, step)
        if length < HEADER_BYTES:
            raise DamagedLog(f"offset {offset} is not in {where(extent)}")
        data = yield extent, position, length
        at = 0
        while at + HEADER_BYTES <= length:
            size = _base_and_length(data, at)[1] + LENGTH_END
            next_base = base + _INT32.unpack_from(data, at + _LAST_DELTA_AT)[0] + 1
            if size < HEADER_BYTES or next_base <= base:
                raise DamagedLog(f"no batch at {base} of {where(extent)}")
            if offset < next_base:
                return position + at, base
            at += size
            base = next_base
        position += at


def _hint(view: PartitionView, offset: int, extent: Extent, position: int) -> None:
    hints = view.hints
    if len(hints) >= _HINTS_MAX:
        del hints[next(iter(hints))]
    hints[offset] = (extent.blob_id, extent.position + position)


def _whole_batches(data: Buffer, base: int, extent: Extent, guesses: bool) -> tuple[int, int, bytearray | None]:
    """(bytes of whole batches at the begin of `data`, the offset after them, `data` patched or None if it is good as it is).

    Raises DamagedLog for what is not the batches that the row promises.
    """
    at, end = 0, len(data)
    epoch = extent.leader_epoch
    view = memoryview(data)
    patched: bytearray | None = None
    shift = shift_of(data, base, extent, guesses)
    while at + HEADER_BYTES <= end:
        stored_base, size, stored_epoch, magic, crc, _, last_delta = head_of(data, at)
        following = at + size + LENGTH_END
        if size < HEADER_BYTES - LENGTH_END or magic != MAGIC_V2:
            raise DamagedLog(f"no batch at {base} of {where(extent)}")
        if following > end:
            break
        if crc32c(view[at + ATTRIBUTES_AT : following]) != crc:
            raise DamagedLog(f"batch at {base} of {where(extent)}: wrong checksum")
        if stored_base - base != shift:
            raise DamagedLog(f"batch at {base} of {where(extent)}: says it is at {stored_base}")
        if shift or stored_epoch != epoch:
            if patched is None:
                patched = bytearray(data)
            set_base_offset(patched, at, base, epoch)
        base += last_delta + 1
        at = following
    return at, base, patched
