"""Fetch sessions: who makes room when all slots are taken, and when a session ends."""

from __future__ import annotations

from moldau.broker.fetch_sessions import FetchSession, FetchSessions, Key, SessionPartition
from moldau.protocol import error_codes
from moldau.protocol.primitives import ZERO_UUID

EVICT_MS = 120_000


def keys(count: int) -> list[Key]:
    return [(ZERO_UUID, "t", index) for index in range(count)]


def asked(count: int) -> list[SessionPartition]:
    return [SessionPartition(key, 0, 1 << 20, -1) for key in keys(count)]


def opened(sessions: FetchSessions, partitions: int, now: int) -> FetchSession:
    session = sessions.open(asked(partitions), False, now)
    assert session is not None
    return session


def use(
    sessions: FetchSessions,
    session: FetchSession,
    now: int,
    changed: list[SessionPartition] | None = None,
    forgotten: list[Key] | None = None,
) -> int:
    """The error code of the session's next incremental request."""
    _, error = sessions.resume(session.session_id, session.epoch, False, changed or [], forgotten or [], now)
    return error


def test_full_of_young_sessions_gives_none() -> None:
    sessions = FetchSessions(2)
    for _ in range(2):
        opened(sessions, 1, 0)
    assert sessions.open(asked(100), False, EVICT_MS) is None
    assert len(sessions.by_id) == 2


def test_no_slots_give_none() -> None:
    assert FetchSessions(0).open(asked(1), False, 0) is None


def test_the_one_that_rests_longest_makes_room() -> None:
    sessions = FetchSessions(2)
    first, second = opened(sessions, 5, 0), opened(sessions, 5, 0)
    assert use(sessions, first, 50) == error_codes.NONE
    third = opened(sessions, 1, EVICT_MS + 1)
    assert set(sessions.by_id) == {first.session_id, third.session_id}
    assert use(sessions, second, EVICT_MS + 1) == error_codes.FETCH_SESSION_ID_NOT_FOUND
    assert sessions.open(asked(1), False, EVICT_MS + 50) is None  # the first rests for no more than the time


def test_an_old_session_with_fewer_partitions_makes_room_for_a_larger_one() -> None:
    sessions = FetchSessions(3)
    small, large, young = opened(sessions, 2, 0), opened(sessions, 9, 0), opened(sessions, 1, 100)
    now = EVICT_MS + 50
    for session in (small, large, young):
        assert use(sessions, session, now) == error_codes.NONE
    assert sessions.open(asked(2), False, now) is None  # no more than the smallest has
    newer = opened(sessions, 3, now)
    assert set(sessions.by_id) == {large.session_id, young.session_id, newer.session_id}


def test_the_number_of_partitions_now_counts() -> None:
    sessions = FetchSessions(2)
    grown, shrunk = opened(sessions, 1, 0), opened(sessions, 9, 0)
    later = EVICT_MS + 1
    for session in (grown, shrunk):
        assert use(sessions, session, later) == error_codes.NONE
    assert use(sessions, grown, later, changed=asked(6)) == error_codes.NONE
    assert use(sessions, shrunk, later, forgotten=keys(9)[4:]) == error_codes.NONE
    assert sessions.open(asked(4), False, later) is None
    opened(sessions, 5, later)
    assert shrunk.session_id not in sessions.by_id
    assert grown.session_id in sessions.by_id


def test_a_closed_session_is_no_candidate_any_more() -> None:
    sessions = FetchSessions(1)
    old = opened(sessions, 1, 0)
    assert use(sessions, old, EVICT_MS + 1) == error_codes.NONE
    sessions.close(old.session_id)
    young = opened(sessions, 1, EVICT_MS + 1)
    assert sessions.open(asked(9), False, EVICT_MS + 2) is None
    assert list(sessions.by_id) == [young.session_id]


def test_a_session_without_partitions_ends() -> None:
    sessions = FetchSessions(1)
    session = opened(sessions, 2, 0)
    assert sessions.resume(session.session_id, 1, False, [], keys(2), 1) == (None, error_codes.NONE)
    assert use(sessions, session, 2) == error_codes.FETCH_SESSION_ID_NOT_FOUND


def test_a_refused_request_changes_nothing() -> None:
    sessions = FetchSessions(1)
    session = opened(sessions, 1, 0)
    _, error = sessions.resume(session.session_id, 7, False, asked(5), [], 1)
    assert error == error_codes.INVALID_FETCH_SESSION_EPOCH
    _, error = sessions.resume(session.session_id, 1, True, asked(5), [], 1)
    assert error == error_codes.FETCH_SESSION_TOPIC_ID_ERROR
    assert len(session.partitions) == 1
    assert session.epoch == 1
