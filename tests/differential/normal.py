"""Answers as plain data that two brokers can agree on.

Fields at the defaults of their message (null and empty are two things) are left out, which makes small records and hides
nothing: both sides leave out the same. What must differ is replaced by a name: ids in the order in which they appear (`<topic#1>`, `<pid#1>`,
`<session#1>`, `<uuid#1>`), `<node>`, `<host>`, `<port>`, `<cluster>`, times within an hour of now as `<now>`, texts for people as
`<text>`, the prefix of a scenario's topics and groups as `~`. Lists of structures are sorted, because brokers answer in the order of their hash tables. Record batches are
opened.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from moldau.protocol import uuid
from moldau.protocol.message import Struct
from moldau.records.batch import iter_headers
from moldau.records.errors import InvalidBatch
from moldau.records.record import iter_records

NODE_FIELDS = frozenset(
    [
        "node_id",
        "leader_id",
        "broker_id",
        "controller_id",
        "replica_nodes",
        "isr_nodes",
        "offline_replicas",
        "broker_ids",
        "replica_id",
        "eligible_leader_replicas",
        "last_known_elr",
        "preferred_read_replica",
    ]
)
TEXT_FIELDS = frozenset(["error_message", "documentation", "batch_index_error_message"])
IGNORED = frozenset(["throttle_time_ms", "finalized_features_epoch", "total_bytes", "usable_bytes", "log_dir"])
NAMED = {"cluster_id": "<cluster>", "host": "<host>", "client_host": "<host>", "port": "<port>"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
FIRST_PRODUCER = ("producer_id", 0)
"""The first id that a cluster gives: no absent value, though some messages have it for their default. Beside an error it is one."""
HOUR_MS = 3_600_000


class Normaliser:
    """One per conversation: the same id has the same name all through it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._names: dict[tuple[str, Any], str] = {}
        self._counts: dict[str, int] = {}

    def name(self, kind: str, value: Any) -> str:
        key = (kind, value)
        if key not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[key] = f"<{kind}#{self._counts[kind]}>"
        return self._names[key]

    def plain(self, value: Any, field: str = "") -> Any:
        if isinstance(value, Struct):
            self._learn(value)
            defaults = type(value)()
            erred = getattr(value, "error_code", 0)
            found = {}
            for name in value.__slots__:
                one = getattr(value, name)
                told = not _same(one, getattr(defaults, name)) or ((name, one) == FIRST_PRODUCER and not erred)
                if told and name not in IGNORED:
                    found[name] = self.plain(one, name)
            return found
        if field == "records" and value is not None:
            return self.batches(bytes(value)) or "none"
        if isinstance(value, list):
            items = sorted(value, key=_order) if value and isinstance(value[0], Struct) else value
            plain = [self.plain(item, field) for item in items]
            return sorted(plain, key=json.dumps) if value and isinstance(value[0], Struct) else plain
        if isinstance(value, (bytes, bytearray, memoryview)):
            raw = bytes(value)
            if len(raw) == 16 and field.endswith("_id"):
                return None if raw == uuid.ZERO else self.name("topic", raw)
            return raw.hex()
        if value is None or isinstance(value, bool):
            return value
        rule = RULES.get(field)
        return rule(self, value) if rule else self.scalar(value, field)

    def records(self, batch: bytes) -> list[Any] | str:
        try:
            return [
                [
                    record.offset,
                    self.scalar(record.timestamp, "timestamp"),
                    *(part if part is None else part.decode("latin-1") for part in (record.key, record.value)),
                    *(f"{k}={v!r}" for k, v in record.headers),
                ]
                for record in iter_records(batch)
            ]
        except InvalidBatch:
            return "records that cannot be read"

    def _learn(self, value: Struct) -> None:
        """An id that comes with its topic's name is called by that; another one of the same name gets a number."""
        topic_id = getattr(value, "topic_id", None)
        name = next((n for f in ("name", "topic") if (n := getattr(value, f, None))), None)
        if topic_id and name and topic_id != uuid.ZERO:
            self.know(topic_id, name)

    def know(self, topic_id: bytes, name: str) -> None:
        key = ("topic", topic_id)
        if key not in self._names:
            short = name.replace(self._prefix, "~")
            count = self._counts[short] = self._counts.get(short, 0) + 1
            self._names[key] = f"<id of {short}>" if count == 1 else f"<id of {short}, number {count}>"

    def scalar(self, value: Any, field: str) -> Any:
        if field in NODE_FIELDS:
            return "<node>" if value >= 0 else value
        if field in TEXT_FIELDS:
            return "<text>" if value else value
        if field in NAMED:
            return NAMED[field] if value not in ("", -1, 0) else value
        if isinstance(value, str):
            return UUID.sub(lambda m: self.name("uuid", m[0]), value.replace(self._prefix, "~"))
        if "time" in field and isinstance(value, int) and abs(value - time.time() * 1000) < HOUR_MS:
            return "<now>"
        return value

    def batches(self, raw: bytes) -> list[Any]:
        """Each batch as its header's telling fields and its records; a batch cut short is left out, as clients do."""
        found = []
        for at, header in iter_headers(raw):
            if at + header.size > len(raw):
                break
            batch = {
                "base_offset": header.base_offset,
                "leader_epoch": header.partition_leader_epoch,
                "attributes": header.attributes,
                "producer": self.name("pid", header.producer_id) if header.producer_id >= 0 else -1,
                "producer_epoch": header.producer_epoch,
                "base_sequence": header.base_sequence,
                "max_timestamp": self.scalar(header.max_timestamp, "timestamp"),
                "records": self.records(raw[at : at + header.size]),
            }
            found.append(batch)
        return found


def _same(value: Any, default: Any) -> bool:
    return value == default and (value is None) == (default is None)


def _order(item: Struct) -> str:
    """Names and numbers first, so that ids are named in the same order for both brokers."""
    keys = ("name", "topic", "group_id", "resource_name", "partition_index", "index", "partition", "api_key", "key")
    return json.dumps([str(getattr(item, k)).rjust(12) for k in keys if k in item.__slots__])


def _numbered(kind: str) -> Callable[[Normaliser, Any], Any]:
    return lambda names, value: names.name(kind, value) if value > 0 else value


RULES: dict[str, Callable[[Normaliser, Any], Any]] = {
    # a producer id may be 0, which is no "absent" value
    "producer_id": lambda names, value: names.name("pid", value) if value >= 0 else value,
    "session_id": _numbered("session"),
}
