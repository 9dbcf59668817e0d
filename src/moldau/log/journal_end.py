"""Where a journal that may be growing ends, as somebody sees it who only reads the file.

The file itself does not say: it is grown ahead, or was another blob's. Its sections do, one after the other. Whoever appends writes a section as a whole and then
the next, so a header that is there proves that the sections before it are complete; the last one may still be on its way.
"""

from __future__ import annotations

from collections.abc import Callable

from . import sections

Read = Callable[[int, int], bytes]
"""(position, length) -> bytes; fewer where the file ends."""

_READ_BYTES = 4 << 20


class HoleInJournal(Exception):
    """What should be a section is none, although a later one says that it had been synced."""


def journal_end(read: Read, blob_id: int, start: int) -> int:
    """The end of the blob's sections that begin at `start`, one of which there need not be. Raises HoleInJournal.

    It may be beyond the end of the file, by what is missing of the last section.
    """
    position = start
    while True:
        section = _section(read, blob_id, position)
        if section is not None:
            position += section.size
        elif not _synced_beyond(read, blob_id, position):
            return position
        elif _section(read, blob_id, position) is None:  # it was written before what is behind it: look once more
            raise HoleInJournal(f"no section at {position}, but what comes behind it says that it was synced")


def _section(read: Read, blob_id: int, position: int) -> sections.Section | None:
    try:
        return sections.unpack_header(read(position, sections.HEADER_MAX), blob_id)
    except sections.BadSection:
        return None


def _synced_beyond(read: Read, blob_id: int, position: int) -> bool:
    at = position + 1
    while True:
        data = read(at, _READ_BYTES)
        if any(section.synced_to > position for section in sections.headers_in(data, blob_id)):
            return True
        if len(data) < _READ_BYTES:
            return False
        at += len(data) - sections.HEADER_MAX
