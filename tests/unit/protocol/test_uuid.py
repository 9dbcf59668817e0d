"""Kafka's ids as text, and new ones."""

from __future__ import annotations

import os

import pytest

from moldau.protocol import uuid


def test_known_texts() -> None:
    assert uuid.to_text(uuid.ZERO) == "AAAAAAAAAAAAAAAAAAAAAA"
    assert uuid.to_text(uuid.ONE) == "AAAAAAAAAAAAAAAAAAAAAQ"
    assert uuid.to_text(b"\xff" * 16) == "_____________________w"
    assert uuid.from_text("AAAAAAAAAAAAAAAAAAAAAQ") == uuid.ONE
    assert uuid.from_text("_____________________w") == b"\xff" * 16


def test_round_trip() -> None:
    for _ in range(200):
        value = uuid.random()
        assert uuid.from_text(uuid.to_text(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "A" * 21,
        "A" * 23,
        "AAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAA+A",
        "AAAA AAAAAAAAAAAAAAAAA",
        "ä" * 22,
    ],
)
def test_malformed_text(text: str) -> None:
    with pytest.raises(ValueError, match="expected 22 characters"):
        uuid.from_text(text)


@pytest.mark.parametrize("value", [b"", bytes(15), bytes(17)])
def test_malformed_bytes(value: bytes) -> None:
    with pytest.raises(ValueError, match="expected 16"):
        uuid.to_text(value)


def test_random_is_version_4_and_never_begins_with_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"\xf8" + bytes(15), b"\xfb" + b"\xff" * 15, b"\x00" * 16])
    monkeypatch.setattr(os, "urandom", lambda size: next(drawn))
    value = uuid.random()
    assert value.hex() == "00000000000040008000000000000000"
    assert value not in (uuid.ZERO, uuid.ONE)
    assert next(drawn, None) is None
