"""What is the same in bytes, and what are numbers."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moldau.protocol.skeleton import Skeleton

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def put(pieces: list[bytes], numbers: list[int]) -> bytes:
    return b"".join(piece + pack(">q", number) for piece, number in zip(pieces, numbers, strict=False)) + pieces[-1]


def skeleton(pieces: list[bytes]) -> Skeleton:
    count = len(pieces) - 1
    return Skeleton(put(pieces, [0] * count), put(pieces, [-1] * count))


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.data())
def test_numbers_go_in_and_come_out(pieces: list[bytes], data: st.DataObject) -> None:
    numbers = data.draw(st.lists(INT64, min_size=len(pieces) - 1, max_size=len(pieces) - 1))
    it = skeleton(pieces)
    filled = it.fill(numbers)
    assert filled == put(pieces, numbers)
    assert len(it) == len(filled)
    assert it.numbers(filled) == tuple(numbers)
    assert it.numbers(bytearray(b"..." + filled), 3) == tuple(numbers)


def test_each_byte_that_is_no_number_counts() -> None:
    pieces = [b"ab", b"", b"cde"]
    it = skeleton(pieces)
    data = it.fill([1, 2])
    for at in range(len(data)):
        other = bytearray(data)
        other[at] ^= 0x80
        assert (it.numbers(other) is None) == (at < 2 or at >= 18)


@pytest.mark.parametrize(("zeros", "ones"), [(b"ab", b"abc"), (b"ab", b"aX"), (bytes(12), b"\xff" * 12)])
def test_what_differs_otherwise_is_refused(zeros: bytes, ones: bytes) -> None:
    with pytest.raises(ValueError, match=r"int64 at|bytes and"):
        Skeleton(zeros, ones)
