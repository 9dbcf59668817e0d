"""The layout of one entry of a fold (`moldau.log.fold`): here, because a store that ends a transaction writes entries itself.

int64 producer id | int16 epoch | int32 first sequence | int32 last sequence |
int32 base offset and int32 last offset, relative to the extent's base | int64 max timestamp | uint8 flags
"""

from __future__ import annotations

from struct import Struct
from typing import Final

ENTRY: Final = Struct(">qhiiiiqB")
ENTRY_BYTES: Final = ENTRY.size
pack_entry = ENTRY.pack
OFFSETS: Final = Struct(">ii")
OFFSETS_AT: Final = 18
"""Where an entry has its two offsets."""
PRODUCER_BYTES: Final = 10
"""Its id and epoch, which an entry begins with."""

REMEMBERED_BATCHES: Final = 5
"""Of a producer, as in Kafka: an older duplicate is out of order."""

FLAG_TRANSACTIONAL: Final = 1
FLAG_MARKER: Final = 2
"""It ends a transaction, and has no sequences (-1)."""
FLAG_COMMIT: Final = 4
"""A marker that commits; without it, it aborts."""
