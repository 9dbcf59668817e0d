"""Apache Kafka's own console programs, resolved once by Maven. A start of Java costs a second or two: one for each codec and consumer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.clients.port import LARGEST, ROOT, Headers, Record, absent, needs, run

_FIELD, _END = b"\x1f", b"\x1e"  # what stands between fields and after records; none holds them
_NULL = "<null>"
_TAG = re.compile(rb"(\S+)#\d+$")

_ASSIGNORS = {
    "range": "org.apache.kafka.clients.consumer.RangeAssignor",
    "roundrobin": "org.apache.kafka.clients.consumer.RoundRobinAssignor",
    "cooperative-sticky": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
}


class Java:
    name = "java"
    null_headers = True

    def __init__(self) -> None:
        needs("java:default-jdk-headless", "mvn:maven")
        found = subprocess.run(
            [str(ROOT / "conformance/kafka-peer/classpath")], capture_output=True, text=True, timeout=300, check=False
        )
        if found.returncode:
            absent(f"Maven did not resolve Apache Kafka's programs: {found.stderr[-500:]}")
        self._java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java += [f"-Dlog4j2.configurationFile={ROOT / 'conformance/kafka-peer/log4j2.properties'}"]
        self.class_path = found.stdout.strip()
        self._options = self._java
        self._java = self.command()

    def command(self, folder: Path | None = None) -> list[str]:
        """How to run a class of Kafka's, or one that lies in `folder`."""
        return [*self._options, "-cp", f"{folder}:{self.class_path}" if folder else self.class_path]

    def tool(self, name: str, bootstrap: str, *arguments: str) -> list[str]:
        """Command of a program of the package org.apache.kafka.tools."""
        return [*self._java, f"org.apache.kafka.tools.{name}", "--bootstrap-server", bootstrap, *arguments]

    def program(self, source: Path) -> list[str]:
        """Command of a program of ours, compiled as it starts; with the newest client that Maven has here before it."""
        jars = sorted((Path.home() / ".m2/repository/org/apache/kafka/kafka-clients").glob("*/kafka-clients-*.jar"))
        return [*self._java[:-1], ":".join([*map(str, reversed(jars)), self._java[-1]]), str(source)]

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str) -> None:
        command = self.tool("ConsoleProducer", bootstrap, "--topic", topic, f"--compression-codec={codec}")
        command += _pairs("--command-property", {"acks": "all", "linger.ms": "20", "max.request.size": str(LARGEST)})
        command += _pairs(
            "--reader-property",
            {
                "parse.headers": "true",
                "headers.delimiter": "|",
                "parse.key": "true",
                "key.separator": "|",
                "null.marker": _NULL,
            },
        )
        run(command, stdin=b"".join(_line(record) for record in records))

    def consume(
        self, bootstrap: str, wanted: Mapping[str, int], fetch_bytes: int = 1_048_576
    ) -> dict[str, list[Record]]:
        command = self.tool("consumer.ConsoleConsumer", bootstrap, "--include", "|".join(map(re.escape, wanted)))
        command += ["--from-beginning", "--max-messages", str(sum(wanted.values())), "--timeout-ms", "30000"]
        limits = {"fetch.max.bytes": str(fetch_bytes), "max.partition.fetch.bytes": str(fetch_bytes)}
        command += _pairs("--command-property", {"group.protocol": "classic", **limits})
        command += _pairs(
            "--formatter-property",
            {
                "print.headers": "true",
                "print.key": "true",
                "headers.separator": ",",
                "key.separator": _FIELD.decode(),
                "line.separator": _END.decode(),
                "null.literal": _NULL,
            },
        )
        got: dict[str, list[Record]] = {topic: [] for topic in wanted}
        for text in run(command).split(_END)[:-1]:
            headers, key, value = text.split(_FIELD)
            tag = _TAG.match(key) or _TAG.match(value)
            assert tag, text[:200]
            got[tag[1].decode()].append(Record(_field(key), _field(value), _headers(headers.decode())))
        return got

    def member(self, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
        command = self.tool("consumer.ConsoleConsumer", bootstrap, "--topic", topic, "--group", group)
        settings = {
            "group.protocol": "classic",
            "partition.assignment.strategy": ",".join(_ASSIGNORS[each] for each in assignors),
            "auto.offset.reset": "earliest",
            "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "500",
            "auto.commit.interval.ms": "500",
        }
        command += _pairs("--command-property", settings)
        return command + _pairs("--formatter-property", {"print.partition": "true", "print.offset": "true"})


def _pairs(option: str, properties: Mapping[str, str]) -> list[str]:
    return [word for key, value in properties.items() for word in (option, f"{key}={value}")]


def _line(record: Record) -> bytes:
    null = _NULL.encode()
    headers = b",".join(name.encode() + b":" + (null if value is None else value) for name, value in record.headers)
    fields = (
        headers or null,
        null if record.key is None else record.key,
        null if record.value is None else record.value,
    )
    return b"|".join(fields) + b"\n"


def _field(text: bytes) -> bytes | None:
    return None if text == _NULL.encode() else text


def _headers(text: str) -> Headers:
    if text == "NO_HEADERS":
        return ()
    pairs = (pair.partition(":") for pair in text.split(","))
    return tuple((name, _field(value.encode())) for name, _, value in pairs)
