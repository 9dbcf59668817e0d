"""kcat as Debian ships it: a C program on librdkafka 2.0."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from uuid import uuid4

from support.clients.port import LARGEST, Headers, Record, needs, run

_LINE = re.compile(rb"(?P<topic>\S+) (?P<key>-?\d+) (?P<value>-?\d+) (?P<headers>.*)\n")


class Kcat:
    name = "kcat"
    null_headers = True

    def __init__(self) -> None:
        needs("kcat:kcat")

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str) -> None:
        # one run for each change of what is said on the command line: headers, and whether empty means null
        for (headers, nulls), part in itertools.groupby(records, lambda r: (r.headers, r.value is None)):
            command = ["kcat", "-P", "-b", bootstrap, "-t", topic, "-K", "|", "-X", f"compression.codec={codec}"]
            command += ["-X", f"message.max.bytes={LARGEST}", "-X", "acks=all", "-X", "enable.idempotence=true"]
            command += ["-Z"] * nulls
            for name, value in headers:
                command += ["-H", name if value is None else f"{name}={value.decode()}"]
            run(command, stdin=b"".join(_line(record) for record in part))

    def consume(
        self, bootstrap: str, wanted: Mapping[str, int], fetch_bytes: int = 1_048_576
    ) -> dict[str, list[Record]]:
        # a group of its own: one that has read, and committed, goes on behind what it read, and would wait for ever
        command = ["kcat", "-b", bootstrap, "-G", f"kcat-{uuid4()}", "-c", str(sum(wanted.values())), "-q"]
        command += ["-X", "auto.offset.reset=earliest", "-X", f"message.max.bytes={min(fetch_bytes, 1_000_000)}"]
        command += ["-X", f"fetch.max.bytes={fetch_bytes}", "-X", f"max.partition.fetch.bytes={fetch_bytes}"]
        out = run([*command, "-f", r"%t %K %S %h\n%k%s\n", *wanted])
        got: dict[str, list[Record]] = {topic: [] for topic in wanted}
        at = 0
        while match := _LINE.match(out, at):
            key, value = int(match["key"]), int(match["value"])
            middle = match.end() + max(key, 0)
            at = middle + max(value, 0) + 1
            record = Record(
                out[match.end() : middle] if key >= 0 else None,
                out[middle : at - 1] if value >= 0 else None,
                _headers(match["headers"].decode()),
            )
            got[match["topic"].decode()].append(record)
        assert at == len(out), out[at : at + 200]
        return got

    def member(self, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
        command = ["kcat", "-b", bootstrap, "-G", group, "-u", "-q", "-f", r"%p %o %s\n"]
        settings = {
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": ",".join(assignors),
            "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "500",
            "auto.commit.interval.ms": "500",
        }
        for key, value in settings.items():
            command += ["-X", f"{key}={value}"]
        return [*command, topic]


def _line(record: Record) -> bytes:
    value = record.value or b""
    return value + b"\n" if record.key is None else record.key + b"|" + value + b"\n"


def _headers(text: str) -> Headers:
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return tuple((name, None if value == "NULL" else value.encode()) for name, _, value in pairs)
