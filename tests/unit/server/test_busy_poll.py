"""Whether the loop looks for the next request before it sleeps, on a clock that the test turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from moldau.server.busy_poll import BusyPoll

LOOK = 0.0001
TURN = 0.00001


class World:
    """A client, a loop that says how many turns it made before it slept, and the time."""

    def __init__(self, seconds: float = LOOK) -> None:
        self.now = 5.0
        self.ready: deque[Callable[[], None]] = deque()
        self.turns = 0
        self.poll = BusyPoll(self, seconds, lambda: self.now)  # type: ignore[arg-type]

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.ready.append(callback)

    def rest(self, seconds: float) -> None:
        """The loop has nothing to do but to look, until a request comes or for good."""
        end = self.now + seconds
        while self.ready and self.now < end:
            self.turns += 1
            self.ready.popleft()()
            self.now += TURN
        self.now = end

    def request_after(self, gap: float) -> int:
        """A request comes so long after the last answer; how many turns the loop made until then."""
        before = self.turns
        self.rest(gap)
        self.poll.asked()
        self.poll.answered()
        return self.turns - before


def test_requests_close_to_one_another_are_looked_for() -> None:
    it = World()
    turns = [it.request_after(0.00005) for _ in range(20)]
    assert not any(turns[:8])
    assert all(4 <= each <= 6 for each in turns[9:])


def test_it_sleeps_when_none_comes() -> None:
    it = World()
    for _ in range(20):
        it.request_after(0.00005)
    before = it.turns
    it.rest(1.0)
    assert it.turns - before <= LOOK / TURN + 2
    assert not it.ready


def test_those_that_come_now_and_then_are_not_looked_for() -> None:
    it = World()
    assert not any(it.request_after(0.001) for _ in range(1000))


def test_gaps_a_little_too_long_cost_one_look_in_nine() -> None:
    it = World()
    turns = [it.request_after(0.00015) for _ in range(900)]
    assert 0 < sum(each > 0 for each in turns) <= 900 / 9 + 1


def test_one_that_is_late_does_not_end_it() -> None:
    it = World()
    for _ in range(30):
        it.request_after(0.00005)
    it.request_after(0.01)
    assert it.request_after(0.00005)
    it.request_after(0.01)
    it.request_after(0.01)
    assert not it.request_after(0.00005)


def test_zero_never_looks() -> None:
    it = World(0.0)
    assert not any(it.request_after(0.0) for _ in range(50))
    assert not it.ready
