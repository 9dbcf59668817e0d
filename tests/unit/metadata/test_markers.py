"""The bytes of markers are those that the batch builder would make."""

from __future__ import annotations

import pytest

from moldau.metadata.markers import Markers
from moldau.metadata.rows_txn import End
from moldau.records.control import MARKER_BYTES, end_txn_marker


@pytest.mark.parametrize("commit", [True, False])
def test_a_marker_is_the_batch_of_its_offset(commit: bool) -> None:
    markers = Markers(End(commit, 1 << 40, 32767), 99, 1_700_000_000_000)
    assert markers.length == MARKER_BYTES
    for base, leader_epoch in ((0, 0), ((1 << 62) + 5, 10_000)):
        assert markers.batch(base, leader_epoch) == end_txn_marker(
            producer_id=1 << 40,
            producer_epoch=32767,
            commit=commit,
            coordinator_epoch=0,
            now=1_700_000_000_000,
            base_offset=base,
            leader_epoch=leader_epoch,
        )


def test_one_blob_holds_them_all() -> None:
    markers = Markers(End(True, 5, 6), 99, 500)
    extents = markers.extents([(3, 10, 2, -1), (7, 0, 0, 900)])
    data = markers.data(extents)
    assert len(data) == 2 * MARKER_BYTES
    for extent, (base, leader_epoch) in zip(extents, ((10, 2), (0, 0)), strict=True):
        assert data[extent.position : extent.position + extent.length] == markers.batch(base, leader_epoch)
    assert [(e.partition_id, e.running_max_timestamp, e.blob_id) for e in extents] == [(3, 500, 99), (7, 900, 99)]
