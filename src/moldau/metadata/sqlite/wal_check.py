"""A look at SQLite's write-ahead log before it is opened: does anything stand behind what SQLite will take?

SQLite takes the log up to the first page whose checksum is wrong, silently: after a power cut that is right, for what comes behind was
not synced. After the mere death of the process nothing can be torn but the very last page written, so commits behind a broken page mean
that a bit has changed, and opening the file would lose what was acknowledged.

The format is that of sqlite.org/fileformat2.html#walformat. Only the frame headers behind the taken part are read: the log of a clean end
is empty, that of an unclean one holds some megabytes.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from struct import Struct

from ..errors import StoreCorrupt
from .connection import WalIndex

log = logging.getLogger(__name__)

_HEADER = Struct(">IIIIIIII")
_FRAME = Struct(">IIIIII")
_MAGIC = 0x377F0682
"""The lowest bit says whether checksums are made of big-endian words."""


class WalCheck:
    """What was found. `frames`: pages that SQLite takes; `behind`: commits in frames of the same log behind them."""

    __slots__ = ("behind", "frames", "header_damaged", "torn_last")

    def __init__(self, frames: int, behind: int, *, header_damaged: bool = False, torn_last: bool = False) -> None:
        self.frames = frames
        self.behind = behind
        self.header_damaged = header_damaged
        self.torn_last = torn_last

    @property
    def whole(self) -> bool:
        """Nothing is behind, or what the death of a process leaves: one page that was being written."""
        return not self.header_damaged and (self.behind == 0 or self.torn_last)


def refuse_damaged_wal(database: Path, *, power_kept: bool, was_shared: bool = False) -> None:
    """Raise StoreCorrupt when opening the file would lose commits, as far as can be told. `power_kept`: the machine has been
    running since the log was written; if it has not, unsynced commits may rightly be torn, and are only told of.

    `was_shared`: several processes wrote it. Then one that died in a commit may have left pages, with one commit at their end, that another
    has begun to write over; the next process that opens the log wipes them out, but all may have died before.
    """
    found = check_wal(database)
    if found.whole or (was_shared and found.behind == 1 and not found.header_damaged):
        return
    what = "its header is damaged" if found.header_damaged else f"{found.behind} commits stand behind a damaged page"
    if power_kept or found.header_damaged:
        raise StoreCorrupt(
            f"the metadata log {database}-wal is damaged: {what}. Nothing was changed; bring back a copy with 'moldau restore',"
            " or delete the file 'lock' beside it to go on with what is readable, as after a power cut"
        )
    log.error("event=metadata_log_cut pages=%d commits_behind=%d reason='%s'", found.frames, found.behind, what)


def check_wal(database: Path) -> WalCheck:
    """Look at the log beside `database`. Changes nothing that is stored. Raises sqlite3.Error, OSError."""
    wal = Path(f"{database}-wal")
    try:
        content = wal.read_bytes()
    except FileNotFoundError:
        return WalCheck(0, 0)
    head = content[: _HEADER.size]
    if not any(head):
        # empty, or lengthened with zeros and never written; a page without the header before it would be damage
        return WalCheck(0, 0, header_damaged=any(content[_HEADER.size : _HEADER.size + _FRAME.size]))
    head = head.ljust(_HEADER.size, b"\0")
    magic, _, page_bytes, _, salt1, salt2, sum1, sum2 = _HEADER.unpack(head)
    if magic & ~1 != _MAGIC or _checksum(head[:24], 0, 0, bool(magic & 1)) != (sum1, sum2):
        return WalCheck(0, 0, header_damaged=True)
    frames = _taken(database)
    step = _FRAME.size + page_bytes
    behind: list[int] = []
    for index in range(frames, (len(content) - _HEADER.size) // step):
        _, size_after, frame_salt1, frame_salt2, _, _ = _FRAME.unpack_from(content, _HEADER.size + index * step)
        if size_after and (frame_salt1, frame_salt2) == (salt1, salt2):
            behind.append(index)
    torn_last = len(behind) == 1 and _breaks_at(content, frames, page_bytes) == behind[0]
    return WalCheck(frames, len(behind), torn_last=torn_last)


def _taken(database: Path) -> int:
    """How many frames SQLite takes. A connection that may only read writes no checkpoint when it closes."""
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        index = WalIndex(database)
        try:
            return index.frames()
        finally:
            connection.close()  # before the index: see there
            index.close()
    finally:
        connection.close()


def _breaks_at(content: bytes, frames: int, page_bytes: int) -> int:
    """The first frame at or after `frames` whose checksum is wrong. `frames` many are good."""
    big = bool(_HEADER.unpack_from(content)[0] & 1)
    step = _FRAME.size + page_bytes
    if frames:
        *_, sum1, sum2 = _FRAME.unpack_from(content, _HEADER.size + (frames - 1) * step)
    else:
        *_, sum1, sum2 = _HEADER.unpack_from(content)
    index = frames
    while True:
        at = _HEADER.size + index * step
        if at + step > len(content):
            return index
        *_, stored1, stored2 = _FRAME.unpack_from(content, at)
        sum1, sum2 = _checksum(content[at : at + 8], sum1, sum2, big)
        sum1, sum2 = _checksum(content[at + _FRAME.size : at + step], sum1, sum2, big)
        if (sum1, sum2) != (stored1, stored2):
            return index
        index += 1


def _checksum(data: bytes, sum1: int, sum2: int, big: bool) -> tuple[int, int]:
    """SQLite's checksum of pairs of 32-bit words, gone on from (sum1, sum2)."""
    words = Struct(f"{'>' if big else '<'}{len(data) // 4}I").unpack(data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        sum1 = (sum1 + first + sum2) & 0xFFFFFFFF
        sum2 = (sum2 + second + sum1) & 0xFFFFFFFF
    return sum1, sum2
