"""``--from`` and ``--until``: texts, and what they mean in a partition."""

from datetime import UTC, datetime

import pytest

from moldau.cli.positions import Kind, Position, parse_duration, parse_position, parse_time

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beginning", Position(Kind.BEGINNING)),
        ("Earliest", Position(Kind.BEGINNING)),
        ("end", Position(Kind.END)),
        ("latest", Position(Kind.END)),
        ("0", Position(Kind.OFFSET, 0)),
        ("1234", Position(Kind.OFFSET, 1234)),
        ("-10", Position(Kind.END, 10)),
        ("+10", Position(Kind.BEGINNING, 10)),
        ("@1700000000", Position(Kind.TIME, 1_700_000_000_000)),
        ("@1700000000123", Position(Kind.TIME, 1_700_000_000_123)),
        ("@1700000000.5", Position(Kind.TIME, 1_700_000_000_500)),
        ("@now", Position(Kind.TIME, NOW)),
        ("@-5m", Position(Kind.TIME, NOW - 300_000)),
        ("@2026-03-01T12:00:00Z", Position(Kind.TIME, 1_772_366_400_000)),
        ("2026-03-01T12:00:00+02:00", Position(Kind.TIME, 1_772_359_200_000)),
    ],
)
def test_positions(text: str, expected: Position) -> None:
    assert parse_position(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "x", "1.5", "--1", "@", "@yesterday", "2026-13-01", "-", "@-5", "@-m", "-1h"])
def test_no_positions(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (position|time|duration)"):
        parse_position(text, NOW)


def test_a_time_without_a_zone_is_local() -> None:
    expected = datetime(2026, 3, 1, 12).astimezone(UTC).timestamp() * 1000
    assert parse_time("2026-03-01T12:00", NOW) == expected


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("250ms", 250), ("90s", 90_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("1w", 604_800_000), ("1.5s", 1_500)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    ("position", "at_time", "offset"),
    [
        (Position(Kind.BEGINNING), None, 100),
        (Position(Kind.BEGINNING, 20), None, 120),
        (Position(Kind.BEGINNING, 1000), None, 200),
        (Position(Kind.END), None, 200),
        (Position(Kind.END, 30), None, 170),
        (Position(Kind.END, 1000), None, 100),
        (Position(Kind.OFFSET, 150), None, 150),
        (Position(Kind.OFFSET, 5), None, 100),
        (Position(Kind.OFFSET, 500), None, 500),
        (Position(Kind.TIME, NOW), 160, 160),
        (Position(Kind.TIME, NOW), -1, 200),
        (Position(Kind.TIME, NOW), None, 200),
    ],
)
def test_offsets_in_a_partition_of_100_to_199(position: Position, at_time: int | None, offset: int) -> None:
    assert position.offset(100, 200, at_time) == offset


def test_an_empty_partition_has_one_place() -> None:
    places = [Position(Kind.BEGINNING, 3), Position(Kind.END, 3), Position(Kind.TIME, NOW)]
    assert [place.offset(7, 7) for place in places] == [7, 7, 7]
