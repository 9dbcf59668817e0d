"""Control batches: records that brokers write for readers' ears only.

A control batch has attribute bit 5 and no codec; consumers skip it, and it takes up one offset per record. The key
says what it is: int16 version (0), int16 type. The one this broker writes ends a transaction on a partition (KIP-98): a
batch of 78 bytes with bits 4 and 5, one record, no sequence, and the value int16 version (0), int32 epoch of the
transaction coordinator. Kafka classes ControlRecordType, EndTransactionMarker.
"""

from struct import Struct
from typing import Final

from moldau.records.batch import Buffer
from moldau.records.builder import build_batch
from moldau.records.errors import invalid
from moldau.records.record import Record, batch_header, iter_records

ABORT: Final = 0
COMMIT: Final = 1
LEADER_CHANGE: Final = 2
SNAPSHOT_HEADER: Final = 3
SNAPSHOT_FOOTER: Final = 4
KRAFT_VERSION: Final = 5
KRAFT_VOTERS: Final = 6

TYPE_NAMES: Final = (
    "ABORT",
    "COMMIT",
    "LEADER_CHANGE",
    "SNAPSHOT_HEADER",
    "SNAPSHOT_FOOTER",
    "KRAFT_VERSION",
    "KRAFT_VOTERS",
)

MARKER_BYTES: Final = 78
"""Size of the batch that `end_txn_marker` makes."""

_KEY = Struct(">hh")
_VALUE = Struct(">hi")


class EndTxnMarker:
    """What ended a transaction here: its producer, whether it was committed, and the coordinator's epoch."""

    __slots__ = ("commit", "coordinator_epoch", "offset", "producer_epoch", "producer_id", "timestamp")

    def __init__(
        self, offset: int, timestamp: int, producer_id: int, producer_epoch: int, commit: bool, coordinator_epoch: int
    ) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.commit = commit
        self.coordinator_epoch = coordinator_epoch

    def __repr__(self) -> str:
        return (
            f"EndTxnMarker(offset={self.offset}, timestamp={self.timestamp}, producer_id={self.producer_id}, "
            f"producer_epoch={self.producer_epoch}, commit={self.commit}, coordinator_epoch={self.coordinator_epoch})"
        )


def end_txn_marker(
    *,
    producer_id: int,
    producer_epoch: int,
    commit: bool,
    coordinator_epoch: int,
    now: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
) -> bytearray:
    """The batch that commits or aborts a producer's transaction on one partition."""
    key = _KEY.pack(0, COMMIT if commit else ABORT)
    value = _VALUE.pack(0, coordinator_epoch)
    return build_batch(
        [Record(base_offset, now, key, value)],
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=True,
        control=True,
    )


def control_type(key: bytes | None) -> int:
    """Type id in the key of a control record. Ids this version does not know are returned too: readers ignore those.

    Raises `InvalidBatch` INVALID_RECORD if the key is missing or too short, or its version is negative.
    """
    if key is None or len(key) < _KEY.size:
        raise invalid(f"the key of a control record has {_KEY.size} bytes, not {key!r}")
    version, type_id = _KEY.unpack_from(key)
    if version < 0:
        raise invalid(f"a control record of version {version}")
    return int(type_id)


def type_name(type_id: int) -> str:
    return TYPE_NAMES[type_id] if 0 <= type_id < len(TYPE_NAMES) else f"UNKNOWN({type_id})"


def read_end_txn_marker(batch: Buffer) -> EndTxnMarker | None:
    """The transaction marker that a control batch holds; None if it holds something else, or nothing any more.

    Raises `InvalidBatch` INVALID_RECORD if it is a marker and does not parse.
    """
    header = batch_header(batch)
    if not header.is_control:
        return None
    for record in iter_records(batch):
        type_id = control_type(record.key)
        if type_id > COMMIT or type_id < ABORT:
            return None
        if record.value is None or len(record.value) < _VALUE.size:
            raise invalid(f"the value of a transaction marker has {_VALUE.size} bytes, not {record.value!r}")
        version, coordinator_epoch = _VALUE.unpack_from(record.value)
        if version < 0:
            raise invalid(f"a transaction marker of version {version}")
        return EndTxnMarker(
            record.offset,
            record.timestamp,
            header.producer_id,
            header.producer_epoch,
            type_id == COMMIT,
            coordinator_epoch,
        )
    return None
