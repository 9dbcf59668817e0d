"""What the tests ask of a client, and the records that all of them write and read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ROOT = Path(__file__).resolve().parents[3]
LARGEST = 8_000_000
"""Bytes that clients and topics are told a record may have, where large ones are sent."""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Client(Protocol):
    """One client program. All of it blocks; topics have one partition."""

    name: str
    null_headers: bool
    """Can send a header whose value is null."""

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str) -> None:
        """Send in this order, acknowledged by all; raises when one is not."""

    def consume(
        self, bootstrap: str, wanted: Mapping[str, int], fetch_bytes: int = 1_048_576
    ) -> dict[str, list[Record]]:
        """As many records of each topic as `wanted` says, from the beginning, asking for at most `fetch_bytes` at once."""

    def member(self, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
        """Command of a process that joins the group with these assignors (the first is preferred) until it gets SIGTERM, and
        prints what it reads before it commits: a line `PARTITION OFFSET VALUE` for each record. Sessions last six seconds."""


def records(name: str, null_headers: bool) -> list[Record]:
    """Records with every shape of key, value and headers, in a form that text programs can carry too.

    Each holds its topic's name and number, as `NAME#3`, in its key or its value: Java's console consumer does not say the topic.
    """
    headers: Headers = (("codec", b"yes"), ("twice", b"1"), ("twice", b"2"), ("none", None if null_headers else b"no"))
    number = iter(range(1000))

    def tag() -> bytes:
        return f"{name}#{next(number)}".encode()

    return [
        Record(tag(), b"with headers", headers),
        Record(None, tag(), headers),
        Record(tag(), b"plain"),
        Record(None, tag()),
        Record(tag(), None),
        Record(tag(), b""),
        Record(b"", tag()),
        Record(tag(), "Vltava, 水 and \u2603".encode()),
        Record(tag(), b"the same again and again " * 8000),
        *(Record(tag(), b"small %d" % index) for index in range(100)),
    ]


def large_records(name: str) -> list[Record]:
    """A few megabytes each, and a small one after them."""
    return [
        Record(f"{name}#0".encode(), b"x" * 3_000_000),
        Record(f"{name}#1".encode(), b"y" * 6_000_000),
        Record(f"{name}#2".encode(), b"small"),
    ]


def needs(*programs: str) -> None:
    """The programs (`PROGRAM:DEBIAN_PACKAGE`) are there; in CI they are installed, elsewhere the test is skipped without them."""
    check = [str(ROOT / "conformance/common/need"), *programs]
    # without CI nothing is installed: the script sees no apt-get
    env = dict(os.environ) if os.environ.get("CI") else {**os.environ, "NEED_INSTALLS": "no"}
    done = subprocess.run(check, env=env, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        absent(done.stderr.strip())


def absent(reason: str) -> NoReturn:
    """Skip with the reason; in CI a test must run, so there it fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(command: list[str], *, stdin: bytes = b"", seconds: float = 60) -> bytes:
    """What the program printed. Raises AssertionError with what it said when it failed."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds, check=False)
    assert done.returncode == 0, (
        f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:].decode(errors='replace')}"
    )
    return done.stdout
