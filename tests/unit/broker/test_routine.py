"""What counts as the same request, and what is not kept."""

from __future__ import annotations

from moldau.broker.metrics import Metrics
from moldau.broker.routine import Routine

ANSWER = b"\0\0\0\x08\0\0\0\x01done"
FRAME = bytearray(b"\0\x44\0\x01\0\0\0\x01\0\x02meand the rest")


def routine(
    *, repeats: bool = True, frame: bytearray = FRAME, answer: bytes = ANSWER
) -> tuple[Routine | None, Metrics]:
    metrics = Metrics()
    return Routine.of(bytearray(frame), [answer], lambda: repeats, 68, metrics), metrics


def test_the_correlation_id_alone_may_differ() -> None:
    it, _ = routine()
    assert it is not None
    for at in range(len(FRAME)):
        other = bytearray(FRAME)
        other[at] ^= 1
        assert it.is_of(other) == (4 <= at < 8)
        assert it.is_of(FRAME)
    assert not it.is_of(FRAME[:-1])
    assert not it.is_of(FRAME + b"\0")


def test_the_answer_has_the_new_correlation_id_and_is_counted() -> None:
    it, metrics = routine()
    assert it is not None
    again = bytearray(FRAME)
    again[4:8] = b"\1\2\3\4"
    assert it.answer(again) == b"\0\0\0\x08\1\2\3\4done"
    assert metrics.apis[68].count == 1


def test_what_may_not_be_repeated_is_not_counted() -> None:
    it, metrics = routine(repeats=False)
    assert it is not None
    assert it.answer(FRAME) is None
    assert not metrics.apis


def test_what_is_large_is_not_kept() -> None:
    assert routine(frame=bytearray(2000))[0] is None
    assert routine(answer=bytes(2000))[0] is None
