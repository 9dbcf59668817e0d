"""The fold of a partition below an offset, packed: what a view starts from instead of every extent since the beginning.

uint8 version (1) | uint32 number of producers | for each, least recently active first:
  int64 producer id | int16 epoch | int64 appended at | uint8 number of batches | for each batch:
    int32 first sequence | int32 last sequence | int64 base offset | int64 last offset | int64 timestamp
"""

from __future__ import annotations

from struct import Struct

from .producer_state import Producer, ProducerStates, Remembered

VERSION = 1
_HEAD = Struct(">BI")
_PRODUCER = Struct(">qhqB")
_BATCH = Struct(">iiqqq")


def pack(states: ProducerStates) -> bytes:
    """The packed form; equal states give equal bytes."""
    parts = [_HEAD.pack(VERSION, len(states.by_id))]
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
    version, count = _HEAD.unpack_from(packed)
    if version != VERSION:
        raise ValueError(f"a snapshot of version {version}; this release knows version {VERSION}")
    at = _HEAD.size
    for _ in range(count):
        producer_id, epoch, appended_at, batches = _PRODUCER.unpack_from(packed, at)
        at += _PRODUCER.size
        producer = states.by_id[producer_id] = Producer(producer_id, epoch)
        producer.appended_at = appended_at
        for _ in range(batches):
            producer.batches.append(Remembered(*_BATCH.unpack_from(packed, at)))
            at += _BATCH.size
    if at != len(packed):
        raise ValueError(f"a snapshot of {len(packed)} bytes holds {at}")
    return states
