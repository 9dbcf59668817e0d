"""What is stored of a share-partition's window, beside its start: versioned, small, and ours.

    version   uint8     0
    then for each run of offsets, in order, without holes, the first at `start`:
        size      uvarint   offsets
        word      uvarint   deliveries * 8 + state

Neighbours that say the same are one. Records in hand are stored as they are if their delivery comes to nothing and was not counted; what was
never delivered, or is in hand for the first time, at the end of the window, is left out. Releases without dead-letter topics cannot read
ARCHIVING, so it is not used before `share.version` 2. A window of 2,000 single records takes 4 kB at most, an
ordinary one some ten bytes.
"""

from __future__ import annotations

from moldau.coordination.packing import RecordFormatError

from .partition import SharePartition
from .run import ACKNOWLEDGED, ACQUIRED, ARCHIVED, ARCHIVING, AVAILABLE, Run

_VERSION = 0
_STATES = (AVAILABLE, ACKNOWLEDGED, ARCHIVING, ARCHIVED)


def pack(partition: SharePartition) -> bytes:
    """The window of a share-partition."""
    stored: list[list[int]] = []
    for run in partition.runs:
        if run.state == ACQUIRED:
            word = (run.count - 1) << 3
        elif run.state == AVAILABLE:
            word = run.count << 3
        elif run.state == ARCHIVING:
            word = run.count << 3 | ARCHIVING
        else:
            word = run.state
        if stored and stored[-1][1] == word:
            stored[-1][0] += run.size
        else:
            stored.append([run.size, word])
    if stored and stored[-1][1] == AVAILABLE:
        stored.pop()
    out = bytearray((_VERSION,))
    for pair in stored:
        for number in pair:
            while number > 0x7F:
                out.append(number & 0x7F | 0x80)
                number >>= 7
            out.append(number)
    return bytes(out)


def unpack(start: int, value: bytes) -> SharePartition:
    """Raises RecordFormatError for what is damaged or of a newer release."""
    if value[:1] != bytes((_VERSION,)):
        raise RecordFormatError(
            f"state of a share-partition of version {value[:1].hex() or 'nothing'}, known is {_VERSION}"
        )
    numbers: list[int] = []
    number = shift = 0
    for byte in value[1:]:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            numbers.append(number)
            number = shift = 0
    if shift or len(numbers) % 2:
        raise RecordFormatError(f"state of a share-partition of {len(value)} bytes ends early")
    runs: list[Run] = []
    at = start
    for size, word in zip(numbers[::2], numbers[1::2], strict=True):
        if not size or word & 7 not in _STATES:
            raise RecordFormatError(f"state of a share-partition: {size} offsets of state {word & 7}")
        runs.append(Run(at, at + size - 1, word & 7, word >> 3))
        at += size
    return SharePartition(start, runs)
