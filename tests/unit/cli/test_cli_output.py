"""Tables and JSON."""

import json

import pytest

from moldau.cli.output import Column, count, plain, print_fields, print_rows, size

ROWS = [{"name": "a", "number": 1}, {"name": "long " * 60, "number": None}]


def test_a_table_in_a_pipe_is_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, [Column("name"), Column("number", "N", right=True)], "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "N"]
    assert lines[1].split() == ["a", "1"]
    assert lines[2].startswith("long long")
    assert lines[2].endswith("-")
    assert len(lines) == 3
    assert all("\x1b" not in line and line == line.rstrip() for line in lines)


def test_json_is_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, [Column("name")], "json")
    assert json.loads(capsys.readouterr().out) == ROWS


def test_nothing_to_show_is_said_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], [Column("name")], "table", empty="Nothing.")
    assert capsys.readouterr() == ("", "Nothing.\n")
    print_rows([], [Column("name")], "json", empty="Nothing.")
    assert capsys.readouterr() == ("[]\n", "")


def test_fields(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"cluster_id": "x", "n": None}, "table")
    assert capsys.readouterr().out == "cluster id: x\nn:          -\n"
    print_fields({"cluster_id": "x"}, "json")
    assert json.loads(capsys.readouterr().out) == {"cluster_id": "x"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (True, "yes"), (False, "no"), ([1, 2], "1,2"), ([], "-"), (0, "0"), ("x", "x")]
)
def test_plain(value: object, text: str) -> None:
    assert plain(value) == text


def test_numbers_for_people() -> None:
    assert [count(1, "record"), count(0, "record"), count(12345, "record")] == [
        "1 record",
        "0 records",
        "12,345 records",
    ]
    assert [size(0), size(999), size(1500), size(2e7), size(3e12)] == ["0 B", "999 B", "1.5 kB", "20.0 MB", "3.0 TB"]


def test_headings_are_whole_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "12")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    print_rows([{"partition": 0, "replicas": [1]}], [Column("partition", right=True), Column("replicas")], "table")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["PARTITION", "REPLICAS"], ["0", "1"]]
