"""The fold of a partition below an offset, packed: what a view starts from instead of every extent since the beginning.

uint8 version (1) | int64 expired before (ms; producers whose last append is older were left out, 0: none) |
uint32 number of producers | for each, least recently active first:
  int64 producer id | int16 epoch | int64 appended at | uint8 number of batches | for each batch:
    int32 first sequence | int32 last sequence | int64 base offset | int64 last offset | int64 timestamp
"""

from __future__ import annotations

from struct import Struct, error

from .producer_state import Producer, ProducerStates, Remembered

VERSION = 1
_HEAD = Struct(">BqI")
_PRODUCER = Struct(">qhqB")
_BATCH = Struct(">iiqqq")


def pack(states: ProducerStates, expired_before: int = 0) -> bytes:
    """The packed form; equal states give equal bytes."""
    parts = [_HEAD.pack(VERSION, expired_before, len(states.by_id))]
    for producer in states.by_id.values():
        parts.append(_PRODUCER.pack(producer.producer_id, producer.epoch, producer.appended_at, len(producer.batches)))
        parts.extend(
            _BATCH.pack(b.first_sequence, b.last_sequence, b.base_offset, b.last_offset, b.timestamp)
            for b in producer.batches
        )
    return b"".join(parts)


def unpack(packed: bytes) -> ProducerStates:
    """The states; empty bytes are the empty fold. Raises ValueError for what `pack` never wrote."""
    states = ProducerStates()
    if not packed:
        return states
    if packed[0] != VERSION:
        raise ValueError(f"a snapshot of version {packed[0]}; this release knows version {VERSION}")
    try:
        _, _, count = _HEAD.unpack_from(packed)
        at = _HEAD.size
        for _ in range(count):
            producer_id, epoch, appended_at, batches = _PRODUCER.unpack_from(packed, at)
            at += _PRODUCER.size
            producer = states.by_id[producer_id] = Producer(producer_id, epoch)
            producer.appended_at = appended_at
            for _ in range(batches):
                producer.batches.append(Remembered(*_BATCH.unpack_from(packed, at)))
                at += _BATCH.size
    except error as short:
        raise ValueError(f"a snapshot of {len(packed)} bytes ends too early: {short}") from short
    if at != len(packed):
        raise ValueError(f"a snapshot of {len(packed)} bytes holds {at}")
    return states


def expired_before(packed: bytes) -> int:
    """Producers that were last active before that time may be missing from the snapshot."""
    return int(_HEAD.unpack_from(packed)[1]) if packed else 0
