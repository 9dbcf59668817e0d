"""What a start does about the run before: bring the rows up to what the write-ahead blobs hold, and seal those that were left open.

A blob that was left open is read from where the rows end (`applied_to`), section by section; each whole section becomes the commit it was. The
first that is not whole ends the blob: it was being written when the process or the machine died, and was never answered (with acks=all; what
acks=1 answered may be lost by a power cut). The rest of the file is cut off. Damage it is, and nothing is changed, if the blob is shorter than the rows say, or if a later section
says that the blob had been synced beyond the one that is not whole. Where only the process died every later section is a proof of damage: each is written when the
one before is in the system's hands.

Costs reading what was written since the last apply, about a tenth of a second's writes; a start after a clean stop finds no open blob.
"""

from __future__ import annotations

import asyncio
import logging

from moldau.blobs.ports import AppendableBlobs
from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.ports import JournalStore, MaintenanceStore
from moldau.metadata.rows import AppendCommit, AppendEntry, Extent
from moldau.records.batch import compute_crc, iter_headers
from moldau.records.errors import InvalidBatch

from . import fold, note_section, sections

log = logging.getLogger(__name__)

ADVICE = "Nothing was changed; look at the data directory with 'moldau inspect', or bring back a backup."

_READ_BYTES = 4 << 20
_COMMITS_MAX = 512


class Replayed:
    """What a replay did: blobs sealed, sections applied."""

    __slots__ = ("blobs", "sections")

    def __init__(self) -> None:
        self.blobs = 0
        self.sections = 0


def commit_of(section: sections.Section, data: memoryview, blob_id: int, position: int) -> AppendCommit:
    """The commit that a whole section stands for; `data` is all of it, `position` where it begins. Pure.

    Raises BadSection when its batches are not what its table says, or a checksum is wrong.
    """
    at = sections.header_bytes(len(section.table))
    notes = sections.notes_of(section, data)
    if notes is not None:
        return note_section.commit_of(notes, blob_id, position + at, section.now)
    if at + sum(row[2] for row in section.table) != section.size or len(data) != section.size:
        raise sections.BadSection(f"lengths of the table at {position} do not add up to {section.size}")
    entries = []
    batches: list[memoryview] = []
    for partition_id, base, length in section.table:
        entries.append(_entry(partition_id, base, data[at : at + length], position + at, batches))
        at += length
    if sections.sum_of(batches) != section.batches_sum:
        raise sections.BadSection(f"not all batches of the section at {position} are those that were written with it")
    return AppendCommit(blob_id, entries, None, False, section.now)


def _entry(partition_id: int, base: int, data: memoryview, position: int, batches: list[memoryview]) -> AppendEntry:
    """Its batches are added to `batches`."""
    folds = []
    offset, end, newest = base, 0, -1
    try:
        for at, header in iter_headers(data):
            if header.base_offset != offset or compute_crc(data, at, header.size) != header.crc:
                raise sections.BadSection(
                    f"partition {partition_id} offset {offset}: the batch at {position + at} is damaged"
                )
            batches.append(data[at : at + header.size])
            last = offset + header.last_offset_delta
            if header.producer_id >= 0:
                folds.append(fold.of_batch(header, offset - base))
            newest = max(newest, header.max_timestamp)
            offset = last + 1
            end = at + header.size
    except InvalidBatch as error:
        raise sections.BadSection(f"partition {partition_id} offset {offset}: {error}") from error
    if end != len(data) or offset == base:
        raise sections.BadSection(
            f"partition {partition_id} offset {offset}: the bytes at {position + end} are no batch"
        )
    return AppendEntry(partition_id, base, offset - base, position, len(data), newest, b"".join(folds))


class Replay:
    """The job of a start; nothing else uses the stores yet."""

    def __init__(
        self, store: JournalStore, maintenance: MaintenanceStore, blobs: AppendableBlobs, *, power_kept: bool = False
    ) -> None:
        """`power_kept`: the machine has been running since the blobs were written."""
        self._store = store
        self._maintenance = maintenance
        self._blobs = blobs
        self._power_kept = power_kept
        self._changes = True
        self.done = Replayed()

    async def run(self) -> Replayed:
        """Raises StoreCorrupt, StoreUnavailable, BlobError."""
        for blob_id, start, size in await self._left_open():
            await self._blob(blob_id, start, size)
        return self.done

    async def look(self) -> tuple[list[str], list[str]]:
        """What a start would refuse, and what it would cut off; nothing is changed. Raises StoreError, BlobError."""
        self._changes = False
        problems, notes = [], []
        for blob_id, start, size in await self._left_open():
            try:
                end = await self._end(blob_id, start, size)
                if size > end and any(await self._blobs.read(blob_id, end, min(sections.HEAD_BYTES, size - end))):
                    notes.append(
                        f"blob {blob_id:016x}: what begins at {end} is no whole section; it was being written when the broker ended, or"
                        " is damaged, and the next start cuts it off"
                    )
            except StoreCorrupt as damage:
                problems.append(str(damage).removesuffix(f". {ADVICE}"))
        return problems, notes

    async def _left_open(self) -> list[tuple[int, int, int]]:
        """(blob, up to where its sections are rows, bytes or -1) of each that is not sealed, the oldest first."""
        left_open = sorted(row.blob_id for row in await self._maintenance.blobs() if row.size < 0)
        if not left_open:
            return []
        sizes = await self._blobs.sizes()
        ends = await self._maintenance.blob_ends()
        # of a blob whose first section was never applied `applied_to` is 0; rows of a shared store's commits count too
        return [
            (blob_id, max(await self._store.applied_to(blob_id), ends.get(blob_id, 0)), sizes.get(blob_id, -1))
            for blob_id in left_open
        ]

    async def _end(self, blob_id: int, start: int, size: int) -> int:
        """Where the whole sections end; those from `start` on are applied."""
        if size < start:
            there = f"has {size} bytes" if size >= 0 else "is not there"
            raise StoreCorrupt(
                f"record bytes are missing: blob {blob_id:016x} {there}, {start} bytes of it were acknowledged. {ADVICE}"
            )
        return await self._sections(blob_id, start, size) if size > start else start

    async def _blob(self, blob_id: int, start: int, size: int) -> None:
        end = await self._end(blob_id, start, size)
        if size >= 0:
            await self._blobs.recover(blob_id, end)
        await self._maintenance.seal_blob(blob_id, end)
        self.done.blobs += 1
        log.info("event=blob_sealed blob=%016x applied_from=%d size=%d", blob_id, start, end)

    async def _sections(self, blob_id: int, start: int, size: int) -> int:
        """Apply the whole sections from `start` on; returns where they end."""
        commits: list[AppendCommit] = []
        position = start
        window, window_at = memoryview(b""), start
        try:
            while position + sections.HEAD_BYTES <= size:
                wanted = sections.HEAD_BYTES
                while True:
                    if position + wanted > window_at + len(window):
                        if position + wanted > size:
                            raise sections.BadSection(f"the section at {position} ends beyond the file")
                        length = min(max(wanted, _READ_BYTES), size - position)
                        window, window_at = memoryview(await self._blobs.read(blob_id, position, length)), position
                    try:
                        section = sections.unpack_header(window, blob_id, position - window_at)
                    except sections.Truncated:
                        wanted = sections.header_bytes(sections.count_at(window, position - window_at))
                        continue
                    if position + section.size <= window_at + len(window):
                        break
                    wanted = section.size
                at = position - window_at
                commits.append(commit_of(section, window[at : at + section.size], blob_id, position))
                position += section.size
                if len(commits) == _COMMITS_MAX:
                    await self._apply(commits)
                    commits = []
        except sections.BadSection as torn:
            if bytes(window[position - window_at :][: len(sections.MAGIC_BEFORE)]) == sections.MAGIC_BEFORE:
                raise StoreCorrupt(
                    f"blob {blob_id:016x} was left open by a build from before the first release; let that build start and stop. {ADVICE}"
                ) from torn
            await self._refuse_damage(blob_id, position, size, torn)
        if commits:
            await self._apply(commits)
        return position

    async def _refuse_damage(self, blob_id: int, position: int, size: int, torn: sections.BadSection) -> None:
        """What lies there is no whole section: raise StoreCorrupt if it was one once."""
        later = 0
        at = position + 1
        while at < size:
            data = await self._blobs.read(blob_id, at, min(_READ_BYTES, size - at))
            for section in sections.headers_in(data, blob_id):
                later += 1
                if section.synced_to > position or self._power_kept:
                    promised = "acknowledged as durable" if section.synced_to > position else "acknowledged"
                    raise StoreCorrupt(
                        f"record bytes are damaged: {torn} in blob {blob_id:016x}; they were {promised}. {ADVICE}"
                    )
            # a header may lie across the border
            at += len(data) - (sections.HEADER_MAX if len(data) > sections.HEADER_MAX and at + len(data) < size else 0)
        if self._changes and (
            later or any(await self._blobs.read(blob_id, position, min(sections.HEAD_BYTES, size - position)))
        ):
            text = "event=journal_tail_cut blob=%016x position=%d size=%d later_sections=%d why='%s'"
            log.warning(text, blob_id, position, size, later, torn)

    async def _apply(self, commits: list[AppendCommit]) -> None:
        if not self._changes:
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def applied(_: list[Extent] | None, error: Exception | None) -> None:
            if error is not None:
                told.set_exception(error)
            else:
                told.set_result(None)

        self._store.apply(commits, applied)
        try:
            await told
        except StoreCorrupt as corrupt:
            blob_id = commits[0].blob_id
            raise StoreCorrupt(
                f"the write-ahead blob {blob_id:016x} does not fit the rows: {corrupt}. {ADVICE}"
            ) from corrupt
        self.done.sections += len(commits)
