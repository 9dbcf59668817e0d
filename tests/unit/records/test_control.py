import pytest

from moldau.protocol import error_codes
from moldau.records import control
from moldau.records.batch import BatchHeader
from moldau.records.builder import build_batch
from moldau.records.control import control_type, end_txn_marker, read_end_txn_marker, type_name
from moldau.records.errors import InvalidBatch
from moldau.records.record import Record

NOW = 1_700_000_000_000


def control_batch(key: bytes | None, value: bytes | None) -> bytearray:
    return build_batch([Record(0, NOW, key, value)], control=True, transactional=True, producer_id=1, producer_epoch=0)


@pytest.mark.parametrize("outcome", ["commit", "abort"])
def test_markers_are_those_of_kafka(golden: dict[str, bytes], outcome: str) -> None:
    raw = golden[f"marker-{outcome}"]
    header = BatchHeader(raw)
    marker = read_end_txn_marker(raw)
    assert marker is not None
    assert marker.commit == (outcome == "commit")
    assert (marker.offset, marker.timestamp) == (header.base_offset, header.max_timestamp)
    assert (marker.producer_id, marker.producer_epoch) == (header.producer_id, header.producer_epoch)
    made = end_txn_marker(
        producer_id=marker.producer_id,
        producer_epoch=marker.producer_epoch,
        commit=marker.commit,
        coordinator_epoch=marker.coordinator_epoch,
        now=marker.timestamp,
        base_offset=marker.offset,
        leader_epoch=header.partition_leader_epoch,
    )
    assert made == raw
    assert len(made) == control.MARKER_BYTES


def test_a_marker_shows_itself() -> None:
    batch = end_txn_marker(producer_id=5, producer_epoch=1, commit=True, coordinator_epoch=7, now=NOW)
    assert repr(read_end_txn_marker(batch)) == (
        f"EndTxnMarker(offset=0, timestamp={NOW}, producer_id=5, producer_epoch=1, commit=True, coordinator_epoch=7)"
    )


def test_what_is_no_marker() -> None:
    assert read_end_txn_marker(build_batch([Record(0, NOW, b"\0\0\0\1", b"")])) is None  # no control batch
    assert read_end_txn_marker(control_batch(b"\0\0\0\2", b"leader change")) is None
    assert read_end_txn_marker(control_batch(b"\0\0\0\x63", None)) is None
    assert read_end_txn_marker(build_batch([], control=True, last_offset=0)) is None  # compacted away


def test_later_versions_only_add_fields() -> None:
    marker = read_end_txn_marker(control_batch(b"\0\1\0\1more", b"\0\1\0\0\0\x09more"))
    assert marker is not None
    assert (marker.commit, marker.coordinator_epoch) == (True, 9)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"\0\0\0\0\0\0"),
        (b"\0\0\0", b"\0\0\0\0\0\0"),
        (b"\xff\xff\0\1", b"\0\0\0\0\0\0"),
        (b"\0\0\0\1", None),
        (b"\0\0\0\1", b"\0\0\0\0\0"),
        (b"\0\0\0\1", b"\xff\xff\0\0\0\0"),
    ],
)
def test_damaged_markers(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(InvalidBatch) as caught:
        read_end_txn_marker(control_batch(key, value))
    assert caught.value.error_code == error_codes.INVALID_RECORD


def test_types_have_names() -> None:
    assert [type_name(control_type(bytes([0, 0, 0, i]))) for i in range(8)] == [
        "ABORT",
        "COMMIT",
        "LEADER_CHANGE",
        "SNAPSHOT_HEADER",
        "SNAPSHOT_FOOTER",
        "KRAFT_VERSION",
        "KRAFT_VOTERS",
        "UNKNOWN(7)",
    ]
    assert control_type(b"\0\0\xff\xff") == -1
    assert type_name(-1) == "UNKNOWN(-1)"
    assert control.KRAFT_VOTERS == 6
