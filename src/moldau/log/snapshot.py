"""The fold of a partition below an offset, packed: what a view starts from instead of every extent since the beginning.

uint8 version (2 or 3) | int64 expired before (ms; producers whose last append is older were left out, 0: none) |
uint32 number of producers | for each, least recently active first:
  int64 producer id | int16 epoch | int64 appended at | int64 timestamp | uint8 marked (0 or 1) | uint8 number of batches | for each batch:
    int32 first sequence | int32 last sequence | int64 base offset | int64 last offset | int64 timestamp
uint32 number of open transactions | for each, by first offset: int64 producer id | int64 first offset
uint32 number of aborted ranges | for each, by last offset:
  int64 producer id | int64 first offset | int64 last offset (the marker's) | int64 last stable offset when the marker landed
version 3: int64 offset below which ranges may be missing

A snapshot without ranges that are missing is of version 2. Version 1 ends behind the producers, which have neither timestamp nor `marked`.
"""

from __future__ import annotations

from struct import Struct, error

from .producer_state import Producer, ProducerStates, Remembered
from .transactions import AbortedRange

VERSION = 3
_PLAIN = 2
_HEAD = Struct(">BqI")
_PRODUCER_1 = Struct(">qhqB")
_PRODUCER = Struct(">qhqqBB")
_BATCH = Struct(">iiqqq")
_COUNT = Struct(">I")
_OPEN = Struct(">qq")
_ABORTED = Struct(">qqqq")
_OFFSET = Struct(">q")


def pack(states: ProducerStates, expired_before: int = 0) -> bytes:
    """The packed form; equal states give equal bytes."""
    transactions = states.transactions
    version = VERSION if transactions.complete_from else _PLAIN
    parts = [_HEAD.pack(version, expired_before, len(states.by_id))]
    for p in states.by_id.values():
        parts.append(_PRODUCER.pack(p.producer_id, p.epoch, p.appended_at, p.timestamp, p.marked, len(p.batches)))
        parts.extend(
            _BATCH.pack(b.first_sequence, b.last_sequence, b.base_offset, b.last_offset, b.timestamp) for b in p.batches
        )
    parts.append(_COUNT.pack(len(transactions.open)))
    parts.extend(_OPEN.pack(*each) for each in transactions.open.items())
    parts.append(_COUNT.pack(len(transactions.aborted)))
    parts.extend(_ABORTED.pack(*each) for each in transactions.aborted)
    if version == VERSION:
        parts.append(_OFFSET.pack(transactions.complete_from))
    return b"".join(parts)


def unpack(packed: bytes) -> ProducerStates:
    """The states; empty bytes are the empty fold. Raises ValueError for what `pack` never wrote."""
    states = ProducerStates()
    if not packed:
        return states
    version = packed[0]
    if not 1 <= version <= VERSION:
        raise ValueError(f"a snapshot of version {version}; this release knows versions up to {VERSION}")
    try:
        at = _producers(packed, states, version)
        if version > 1:
            at = _transactions(packed, at, states)
        if version > _PLAIN:
            (states.transactions.complete_from,) = _OFFSET.unpack_from(packed, at)
            at += _OFFSET.size
    except error as short:
        raise ValueError(f"a snapshot of {len(packed)} bytes ends too early: {short}") from short
    if at != len(packed):
        raise ValueError(f"a snapshot of {len(packed)} bytes holds {at}")
    return states


def _producers(packed: bytes, states: ProducerStates, version: int) -> int:
    _, _, count = _HEAD.unpack_from(packed)
    at = _HEAD.size
    for _ in range(count):
        timestamp, marked = -1, 0
        if version == 1:
            producer_id, epoch, appended_at, batches = _PRODUCER_1.unpack_from(packed, at)
            at += _PRODUCER_1.size
        else:
            producer_id, epoch, appended_at, timestamp, marked, batches = _PRODUCER.unpack_from(packed, at)
            at += _PRODUCER.size
        producer = states.by_id[producer_id] = Producer(producer_id, epoch)
        for _ in range(batches):
            producer.batches.append(Remembered(*_BATCH.unpack_from(packed, at)))
            at += _BATCH.size
        producer.appended_at = appended_at
        producer.marked = bool(marked)
        producer.timestamp = producer.batches[-1].timestamp if version == 1 and batches else timestamp
    return at


def _transactions(packed: bytes, at: int, states: ProducerStates) -> int:
    (count,) = _COUNT.unpack_from(packed, at)
    at += _COUNT.size
    for _ in range(count):
        producer_id, first_offset = _OPEN.unpack_from(packed, at)
        states.transactions.open[producer_id] = first_offset
        at += _OPEN.size
    (count,) = _COUNT.unpack_from(packed, at)
    at += _COUNT.size
    end = at + count * _ABORTED.size
    if end > len(packed):
        raise error(f"{count} aborted ranges do not fit")
    states.transactions.aborted = [AbortedRange(*each) for each in _ABORTED.iter_unpack(packed[at:end])]
    return int(end)


def expired_before(packed: bytes) -> int:
    """Producers that were last active before that time may be missing from the snapshot."""
    return int(_HEAD.unpack_from(packed)[1]) if packed else 0
