"""Records as text, JSON lines and tables; input cut into records."""

import json

import pytest
from cli_fakes import FakeRecord
from hypothesis import given
from hypothesis import strategies as st

from moldau.cli.record_input import parse_text, split
from moldau.cli.record_json import from_json, to_json
from moldau.cli.record_output import TablePrinter, text_printer

maybe_bytes = st.none() | st.binary() | st.text().map(str.encode)


@given(
    st.lists(st.binary(max_size=6).filter(lambda piece: b"\r\n" not in piece + b"\r" and not piece.endswith(b"\r"))),
    st.integers(1, 5),
)
def test_split_does_not_depend_on_chunks(pieces: list[bytes], chunk: int) -> None:
    pieces = [piece for piece in pieces if b"\n" not in piece and b"\r" not in piece]
    raw = b"".join(piece + b"\r\n" for piece in pieces)
    chunks = [raw[at : at + chunk] for at in range(0, len(raw), chunk)]
    assert list(split(chunks, b"\r\n")) == pieces


@pytest.mark.parametrize(
    ("raw", "pieces"),
    [(b"", []), (b"a", [b"a"]), (b"a\n", [b"a"]), (b"a\n\nb", [b"a", b"", b"b"]), (b"\n", [b""])],
)
def test_split_at_the_edges(raw: bytes, pieces: list[bytes]) -> None:
    assert list(split([raw] if raw else [], b"\n")) == pieces


def test_split_gives_a_piece_as_soon_as_it_is_whole() -> None:
    taken = []

    def chunks() -> object:
        for chunk in (b"a\n", b"b\n"):
            taken.append(chunk)
            yield chunk

    assert next(split(chunks(), b"\n")) == b"a"
    assert taken == [b"a\n"]


@pytest.mark.parametrize(
    ("line", "key", "separator", "null", "expected"),
    [
        (b"v", None, None, None, (None, b"v")),
        (b"v", b"k", None, None, (b"k", b"v")),
        (b"k:v:w", None, b":", None, (b"k", b"v:w")),
        (b":v", None, b":", None, (b"", b"v")),
        (b"k:", None, b":", b"", (b"k", None)),
        (b"NULL", None, None, b"NULL", (None, None)),
        (b"NULL:NULL", None, b":", b"NULL", (None, None)),
        (b"", None, None, None, (None, b"")),
    ],
)
def test_lines_of_text(
    line: bytes, key: bytes | None, separator: bytes | None, null: bytes | None, expected: tuple[bytes | None, ...]
) -> None:
    record = parse_text(line, key, separator, null)
    assert (record.key, record.value) == expected


def test_a_line_without_its_key_separator() -> None:
    with pytest.raises(ValueError, match="no key separator ':'"):
        parse_text(b"v", None, b":", None)


@given(maybe_bytes, maybe_bytes, st.lists(st.tuples(st.text(), maybe_bytes)))
def test_json_comes_back_as_it_went(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    line = to_json(FakeRecord(timestamp=(1, 5), partition=3, key=key, value=value, headers=headers))
    assert "\n" not in line
    record = from_json(line.encode("utf-8", "surrogatepass"))
    assert (record.key, record.value, record.headers) == (key, value, headers)
    assert (record.partition, record.timestamp) == (3, 5)


def test_json_has_the_documented_keys() -> None:
    record = FakeRecord("orders", 1, 2, (2, 3), b"k", b"\xff", [("h", b"x")])
    assert json.loads(to_json(record)) == {
        "topic": "orders",
        "partition": 1,
        "offset": 2,
        "timestamp": 3,
        "timestamp_type": "log_append",
        "key": "k",
        "value_base64": "/w==",
        "headers": [{"key": "h", "value": "x"}],
    }


def test_json_without_a_timestamp() -> None:
    assert json.loads(to_json(FakeRecord(timestamp=(0, -1))))["timestamp"] is None


def test_json_input_may_be_short() -> None:
    record = from_json(b'{"value": {"a": [1, "\xc3\xa9"]}, "headers": {"h": 1, "n": null}}')
    assert record.value == '{"a":[1,"é"]}'.encode()
    assert record.headers == [("h", b"1"), ("n", None)]
    assert (record.key, record.partition, record.timestamp) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"valeu": 1}', "unknown field 'valeu'. Did you mean 'value'"),
        (b'{"value_base64": "!"}', "value_base64 is not base64"),
        (b'{"value_base64": 5}', "value_base64 is not base64"),
        (b'{"partition": -1}', "partition is -1"),
        (b'{"partition": true}', "partition is True"),
        (b'{"timestamp": "now"}', "timestamp is 'now'"),
        (b'{"headers": "x"}', "headers are"),
        (b'{"headers": [{"value": "x"}]}', "a header has no key"),
        (b'{"value": "\\ud800"}', "surrogate"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_json_input_that_is_none(line: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_json(line)


def test_text_output() -> None:
    record = FakeRecord(key=None, value=b"v")
    assert text_printer(b"\n", None, b"")(record) == b"v\n"
    assert text_printer(b"\0", b":", b"NULL")(record) == b"NULL:v\0"


def test_table_has_one_heading_and_fits() -> None:
    printer = TablePrinter(["t"], 84)
    first = printer(FakeRecord(key=b"k" * 30, value=b"a long value " * 10))
    second = printer(FakeRecord(value=b"\x1b[31m\n"))
    heading, row = first.decode().splitlines()
    assert heading.split() == ["PARTITION", "OFFSET", "TIME", "KEY", "VALUE"]
    assert len(row) == 84
    assert row.endswith("…")
    assert "k" * 19 + "…" in row
    assert b"HEADING" not in second
    assert second.decode().split() == ["0", "0", "-", "(null)", "\\x1b[31m\\n"]


def test_table_of_several_topics_names_them_and_without_a_width_cuts_nothing() -> None:
    printer = TablePrinter(["t", "orders"], None)
    heading, row = printer(FakeRecord("orders", value=b"v" * 500)).decode().splitlines()
    assert heading.startswith("TOPIC ")
    assert row.startswith("orders ")
    assert row.endswith("v" * 500)
