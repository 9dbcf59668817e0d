from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moldau.cluster.notes import ENDS_MAX, MEMBERS_CHANGED, PEER_API, Note, frame, pack, unpack


@given(
    st.integers(0, 127),
    st.integers(0, (1 << 63) - 1),
    st.dictionaries(st.integers(0, (1 << 31) - 1), st.integers(0, (1 << 63) - 1), max_size=20),
)
def test_there_and_back(flags: int, version: int, ends: dict[int, int]) -> None:
    note = unpack(pack(Note(flags, version, ends)) + b"what a later release adds")
    assert (note.flags, note.metadata_version, note.ends) == (flags, version, ends)


@given(st.binary(max_size=40))
def test_anything_else_is_refused_or_read(data: bytes) -> None:
    told = ""
    try:
        assert len(unpack(data).ends) <= ENDS_MAX
    except ValueError as error:
        told = str(error)
    assert not told or told.startswith("a note")


def test_too_many() -> None:
    with pytest.raises(ValueError, match="a note with 5000 partitions"):
        unpack(pack(Note(ends={n: n for n in range(5000)})))


def test_the_frame_is_a_request() -> None:
    data = frame(Note(MEMBERS_CHANGED), "3:7", 9)
    assert data[:4] == (len(data) - 4).to_bytes(4, "big")
    assert data[4:6] == PEER_API.to_bytes(2, "big")
    assert data[8:12] == (9).to_bytes(4, "big")
    assert data[14:17] == b"3:7"
    assert unpack(data[17:]).flags == MEMBERS_CHANGED
