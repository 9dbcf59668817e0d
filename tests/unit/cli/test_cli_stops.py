"""When reading is over."""

from moldau.cli.stops import Stops

A, B = ("t", 0), ("t", 1)


def test_the_last_record_before_the_stop_completes_its_partition() -> None:
    stops = Stops()
    stops.follow(A, 2, 0)
    assert [stops.admits(A, offset, 0) for offset in range(4)] == [True, True, False, False]
    assert stops.all_reached()


def test_every_partition_must_arrive() -> None:
    stops = Stops()
    stops.follow(A, 1, 0)
    stops.follow(B, 1, 0)
    assert stops.admits(A, 0, 0)
    assert not stops.all_reached()
    stops.at_end(B, 1)
    assert stops.all_reached()


def test_a_partition_that_begins_at_its_stop_is_done() -> None:
    stops = Stops()
    stops.follow(A, 5, 5)
    assert stops.all_reached()


def test_the_end_is_a_stop_only_where_that_was_asked() -> None:
    waiting, ending = Stops(), Stops(end_is_enough=True)
    for stops in (waiting, ending):
        stops.follow(A, 10, 0)
        stops.at_end(A, 8)  # the last two are transaction markers not yet visible
    assert (waiting.all_reached(), ending.all_reached()) == (False, True)


def test_without_a_stop_reading_goes_on() -> None:
    stops = Stops()
    stops.follow(A, None, 0)
    assert stops.admits(A, 0, 0)
    stops.at_end(A, 1)
    assert not stops.all_reached()


def test_a_time_stops_at_the_first_record_as_late() -> None:
    stops = Stops(time_ms=100)
    stops.follow(A, None, 0)
    assert [stops.admits(A, offset, time) for offset, time in enumerate((50, 100, 60))] == [True, False, False]
    assert stops.all_reached()


def test_a_stop_that_is_known_later() -> None:
    stops = Stops()
    stops.follow(A, None, 0)
    stops.at_end(A, 7)
    stops.follow(A, 7)
    assert stops.all_reached()


def test_a_partition_taken_away_no_longer_counts() -> None:
    stops = Stops(end_is_enough=True)
    stops.follow(A, 5)
    stops.follow(B, 5)
    stops.at_end(A, 5)
    stops.forget(B)
    assert stops.all_reached()
    assert stops.partitions() == [A]
