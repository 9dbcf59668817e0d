"""When an object with waiting batches begins, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from moldau.log.commit_lanes import Lane, Queued, Upload
from moldau.log.storage import AppendRules
from moldau.log.uploads import PACE_SECONDS, Uploads

LINGER = 0.002


class Put:
    """A task that ends when the test says so."""

    def __init__(self) -> None:
        self.over = False
        self.done: Callable[[Any], None] = lambda task: None

    def add_done_callback(self, done: Callable[[Any], None]) -> None:
        self.done = done

    def cancelled(self) -> bool:
        return False

    def exception(self) -> None:
        return None


class Clockwork:
    """The three things that uploads ask of a loop. Puts begin, and end when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Any] = []
        self.puts: list[Any] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Any:
        timer = SimpleNamespace(when=lambda: when, call=call, cancel=lambda: self.timers.remove(timer))
        self.timers.append(timer)
        return timer

    def create_task(self, job: Any, name: str) -> Any:
        job.close()
        self.puts.append(Put())
        return self.puts[-1]

    def pass_until(self, when: float) -> None:
        while self.timers and min(timer.when() for timer in self.timers) <= when:
            timer = min(self.timers, key=lambda each: float(each.when()))
            self.timers.remove(timer)
            self.now = timer.when()
            timer.call()
        self.now = when


def setup() -> tuple[Clockwork, Uploads, list[Upload], Callable[[], None]]:
    loop, ended = Clockwork(), list[Upload]()
    rules = AppendRules(upload_linger_ms=int(LINGER * 1000))
    uploads = Uploads(None, None, loop, lambda: 0, rules, lambda lane: (0, 0), ended.append)  # type: ignore[arg-type]
    lane = Lane(1)

    def add() -> None:
        append = SimpleNamespace(batch=bytearray(100), header=SimpleNamespace(last_offset_delta=0))
        uploads.add(Queued(append, lane, loop.time()))  # type: ignore[arg-type]
        uploads.pump()

    return loop, uploads, ended, add


def end_all(loop: Clockwork) -> None:
    for put in loop.puts:
        if not put.over:
            put.over = True
            put.done(put)


def test_one_that_waits_for_its_answers_waits_for_the_linger_only() -> None:
    loop, _, ended, add = setup()
    for turn in range(1, 4):
        began = loop.now
        add()
        loop.pass_until(began + LINGER)
        assert len(loop.puts) == turn
        end_all(loop)
        assert [len(upload.batches) for upload in ended] == [1] * turn


def test_where_several_write_objects_keep_a_distance() -> None:
    loop, _, ended, add = setup()
    add()
    add()
    loop.pass_until(loop.now + LINGER)
    assert len(loop.puts) == 1
    first_at = loop.now
    end_all(loop)
    for _ in range(3):
        add()
    loop.pass_until(first_at + PACE_SECONDS - 0.002)
    assert len(loop.puts) == 1  # the linger is over, the distance not yet
    loop.pass_until(first_at + PACE_SECONDS)
    end_all(loop)
    assert [len(upload.batches) for upload in ended] == [2, 3]


def test_a_drain_waits_for_nothing() -> None:
    loop, uploads, _, add = setup()
    add()
    add()
    loop.pass_until(loop.now + LINGER)
    uploads.draining = True
    add()
    assert len(loop.puts) == 2
