"""Log lines."""

from __future__ import annotations

import json
import logging

from moldau.server.logs import JsonFormatter, pairs


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("moldau.x", logging.INFO, "x.py", 1, message, arguments, None)
    made.__dict__.update(more)
    return made


def test_pairs_become_fields() -> None:
    line = json.loads(JsonFormatter().format(record("event=bad_frame peer=%s length=%d", "127.0.0.1:5#7", 9)))
    assert line["message"] == "event=bad_frame peer=127.0.0.1:5#7 length=9"
    assert (line["event"], line["peer"], line["length"]) == ("bad_frame", "127.0.0.1:5#7", "9")
    assert line["level"] == "INFO"
    assert line["logger"] == "moldau.x"


def test_values_may_hold_spaces_and_quotes() -> None:
    assert pairs("event=x error=no such file: 'a b' action=close") == {
        "event": "x",
        "error": "no such file: 'a b'",
        "action": "close",
    }
    assert pairs("event=x reason='two words'") == {"event": "x", "reason": "two words"}
    assert pairs("no pairs here") == {}


def test_a_pair_never_overwrites_what_every_line_has() -> None:
    line = json.loads(JsonFormatter().format(record("event=x level=debug time=never")))
    assert line["level"] == "INFO"
    assert line["time"].endswith("Z")


def test_a_traceback_is_a_field() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        made = record("event=failed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError: broken" in json.loads(JsonFormatter().format(made))["traceback"]
