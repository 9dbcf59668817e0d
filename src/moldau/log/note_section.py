"""A section of notes (`moldau.metadata.notes`): how it is made, and the commit it stands for."""

from __future__ import annotations

from collections.abc import Sequence

from moldau.blobs.ports import Buffer
from moldau.metadata.commit_notes import CommitNote
from moldau.metadata.markers import Markers
from moldau.metadata.notes import BadNote, Note, TxnNote, unpack
from moldau.metadata.rows import AppendCommit, AppendEntry, AppendResult

from . import sections

_BYTES_A_WEIGHT = 1024
"""So many bytes of notes weigh as much as one extent: a dozen offsets, most of which are written over before they become rows."""


class NoteSection:
    """Some notes as one write of a journal (`moldau.log.sequencer.Write`). `add` all of them, then give it to the journal."""

    def __init__(self, now: int) -> None:
        self.durable = False
        self.now = now
        self.blob_id = self.position = -1
        self._notes: list[Note | CommitNote] = []
        self._ends: list[tuple[int, TxnNote, Markers, list[bytes]]] = []
        self._packed: list[bytes] = []
        self._length = 0

    def add(self, note: Note | CommitNote, durable: bool) -> None:
        """One that ends no transaction."""
        self._put(note, note.pack(), durable)

    def add_end(self, note: TxnNote, markers: Markers, batches: list[bytes]) -> int:
        """One that does. Returns where the first of its markers will be, counted from the begin of the notes."""
        self._put(note, note.pack(batches), True)
        self._ends.append((self._length, note, markers, batches))
        return self._length - len(batches) * markers.length

    def _put(self, note: Note | CommitNote, packed: bytes, durable: bool) -> None:
        self._notes.append(note)
        self._packed.append(packed)
        self._length += len(packed)
        self.durable = self.durable or durable

    def __len__(self) -> int:
        return len(self._notes)

    @property
    def length(self) -> int:
        """Bytes of all notes."""
        return self._length

    def section(self, blob_id: int, synced_to: int) -> list[Buffer]:
        """See `Write`."""
        body = b"".join(self._packed)
        return [sections.pack_notes_header(blob_id, self.now, synced_to, body), body]

    def place(self, blob_id: int, position: int) -> AppendCommit:
        """See `Write`."""
        self.blob_id, self.position = blob_id, position
        entries: list[AppendEntry] = []
        for end, note, markers, batches in self._ends:
            entries += _entries(note, markers, position + end, batches)
        return _commit(blob_id, entries, self._notes, self.now, position + self._length, self._length)

    def results(self, commit: AppendCommit) -> list[AppendResult]:
        """See `Write`: who wrote them knows."""
        return []


def commit_of(data: bytes, blob_id: int, position: int, now: int) -> AppendCommit:
    """The commit that the notes of a section stand for, which begin at `position` of the blob. Raises BadSection."""
    notes: list[Note] = []
    entries: list[AppendEntry] = []
    try:
        for note, end in unpack(data):
            notes.append(note)
            if isinstance(note, TxnNote) and note.end is not None:
                markers = note.markers()
                entries += _entries(note, markers, position + end, markers.batches(note.ends))
    except BadNote as error:
        raise sections.BadSection(f"notes at {position}: {error}") from error
    return _commit(blob_id, entries, notes, now, position + len(data), len(data))


def _commit(
    blob_id: int, entries: list[AppendEntry], notes: Sequence[Note | CommitNote], now: int, end: int, length: int
) -> AppendCommit:
    weight = 1 + length // _BYTES_A_WEIGHT
    return AppendCommit(blob_id, entries, None, False, now, notes=notes, applied_to=end, notes_weight=weight)


def _entries(note: TxnNote, markers: Markers, end: int, batches: list[bytes]) -> list[AppendEntry]:
    """The rows of its markers, the last of which ends at `end`."""
    now, length, fold = note.now, markers.length, markers.fold
    position = end - len(batches) * length
    return [
        AppendEntry(partition_id, base, 1, position + nth * length, length, now, fold, batch)
        for nth, ((partition_id, base, _), batch) in enumerate(zip(note.ends, batches, strict=True))
    ]
