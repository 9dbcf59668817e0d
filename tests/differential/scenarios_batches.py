"""Produce: batches that are not what they say, and what a broker makes of them."""

from __future__ import annotations

from collections.abc import Callable

from conversation import Conversation, scenario
from scenarios_log import batch, fetch_all, produce_body

from moldau.protocol import api_keys as k
from moldau.records import compression
from moldau.records.builder import build_batch
from moldau.records.crc import crc32c
from moldau.records.record import Record

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def sealed(raw: bytearray) -> bytes:
    """With the checksum that its bytes have."""
    raw[17:21] = crc32c(memoryview(raw)[21:]).to_bytes(4, "big")
    return bytes(raw)


@scenario(k.PRODUCE)
def produce_bad_batches(c: Conversation, version: int) -> None:
    topic = c.topic(max_message_bytes="2000")
    odd = c.topic("odd")  # for what the brokers do not agree on, so that it moves no other offset

    def ask(label: str, records: bytes, *, to: str = topic) -> None:
        # on a connection of its own: some answers are a closed one
        c.ask(label, k.PRODUCE, version, produce_body(c, version, to, records), on=label)

    def changed(at: int, value: bytes, *, crc: bool = True, count: int = 3) -> bytes:
        raw = batch(count)
        raw[at : at + len(value)] = value
        return sealed(raw) if crc else bytes(raw)

    good = bytes(batch(3))
    ask("wrong checksum", changed(17, b"\0\0\0\1", crc=False))
    ask("a byte of a value changed", changed(len(good) - 12, b"\xff", crc=False))
    ask("magic 1", changed(16, b"\1", crc=False))
    ask("magic 9", changed(16, b"\x09", crc=False))
    ask("two batches", good + good)
    ask("cut short", good[:-5])
    ask("shorter than a header", good[:30])
    ask("a byte too long", good + b"\0", to=c.topic("longer"))
    ask("length of 3", changed(8, (3).to_bytes(4, "big"), crc=False))
    ask("negative length", changed(8, (-3).to_bytes(4, "big", signed=True), crc=False))
    ask("base offset 7", changed(0, (7).to_bytes(8, "big")))
    ask("last offset delta too large", changed(23, (9).to_bytes(4, "big")))
    ask("last offset delta too small", changed(23, (1).to_bytes(4, "big")))
    ask("too many records promised", changed(57, (4).to_bytes(4, "big")))
    ask("no record promised", changed(57, (0).to_bytes(4, "big")))
    ask("negative record count", changed(57, (-1).to_bytes(4, "big", signed=True)))
    ask("control batch", changed(21, (0x20).to_bytes(2, "big")))
    ask("unknown codec", changed(21, (0x07).to_bytes(2, "big")))
    ask("codec 5", changed(21, (0x05).to_bytes(2, "big")))
    ask("bits that mean nothing", changed(21, (0x0100).to_bytes(2, "big")))
    ask("delete horizon", changed(21, (0x40).to_bytes(2, "big")), to=c.topic("horizon"))
    ask("transactional, no producer", changed(21, (0x10).to_bytes(2, "big")), to=odd)
    ask("a producer without a sequence", changed(43, (5).to_bytes(8, "big")))
    ask("a sequence without a producer", changed(53, (5).to_bytes(4, "big")), to=odd)
    ask("an epoch without a producer", changed(51, (5).to_bytes(2, "big")), to=odd)
    ask("producer id -2", changed(43, (-2).to_bytes(8, "big", signed=True)), to=odd)
    ask("leader epoch 9", changed(12, (9).to_bytes(4, "big")))
    ask("max timestamp too small", changed(35, (5).to_bytes(8, "big")), to=odd)
    ask("max timestamp too large", changed(35, (1_700_000_000_999).to_bytes(8, "big")), to=odd)
    ask("a magic that is not there", good[:16])
    ask("zeros", bytes(100))
    ask("says log append time", changed(21, (0x08).to_bytes(2, "big")))
    ask("says gzip, is not", changed(21, (0x01).to_bytes(2, "big")), to=odd)
    ask("too large", bytes(batch(1, value=b"v" * 3000)))
    ask("large, compressed small", bytes(batch(1, value=b"v" * 3000, codec=compression.codec_of("gzip"))))
    ask("exactly as large as allowed", bytes(batch(1, value=b"v" * (2000 - len(batch(1, value=b"v" * 1000)) + 1000))))
    ask("a byte larger than allowed", bytes(batch(1, value=b"v" * (2001 - len(batch(1, value=b"v" * 1000)) + 1000))))
    narrow = c.topic("narrow", message_timestamp_before_max_ms="1000")
    ask("time too long ago", good, to=narrow)
    ask("time in the far future", bytes(batch(1, start=4_000_000_000_000)))
    ask("no time", bytes(batch(1, start=-1)))
    ask("the second time in the far future", bytes(batch(2, step=3_000_000_000_000)))
    ask("times against their order", bytes(batch(3, step=-10)))
    both = c.topic("both", message_timestamp_before_max_ms="1000", message_timestamp_after_max_ms="1000")
    ask("too long ago and too late", bytes(batch(2, start=1, step=4_000_000_000_000)), to=both)
    stamped = c.topic("stamped", message_timestamp_type="LogAppendTime")
    ask("log append time", good, to=stamped)
    ask("log append time, compressed", bytes(batch(3, codec=LZ4)), to=stamped)
    ask("log append time, times of the future", bytes(batch(1, start=4_000_000_000_000)), to=stamped)
    c.note("the stamped log", fetch_all(c, stamped))
    c.note("the log", fetch_all(c, topic))


@scenario(k.PRODUCE, k.FETCH)
def produce_recompressed(c: Conversation, version: int) -> None:
    """Topics that have a codec of their own; and null keys, empty values, no headers."""
    for name in ("gzip", "snappy", "lz4", "zstd", "uncompressed"):
        topic = c.topic(name, compression_type=name)
        for label, codec in (("plain", 0), ("gzip", GZIP), ("lz4", LZ4)):
            raw = bytes(batch(20, codec=codec))
            c.ask(f"{label} to {name}", k.PRODUCE, version, produce_body(c, version, topic, raw))
        if version in (7, 12):
            c.note(f"the {name} log", fetch_all(c, topic))
    stamped = c.topic("s", compression_type="gzip", message_timestamp_type="LogAppendTime")
    c.ask("stamped", k.PRODUCE, version, produce_body(c, version, stamped, bytes(batch(3))))
    c.note("the stamped log", fetch_all(c, stamped))
    topic = c.topic()
    records = [
        Record(0, 1_700_000_000_000, None, None, []),
        Record(1, 1_700_000_000_001, b"", b"", [("", None)]),
        Record(2, 1_700_000_000_002, b"\xff", b"\0" * 10, [("h", b""), ("h", b"again")]),
    ]
    for label, codec in (("plain", 0), ("gzip", GZIP), ("snappy", SNAPPY), ("lz4", LZ4)):
        raw = bytes(build_batch(records, codec=codec))
        c.ask(f"nulls, {label}", k.PRODUCE, version, produce_body(c, version, topic, raw))
    c.note("the log", fetch_all(c, topic))


@scenario(k.PRODUCE)
def produce_bad_records(c: Conversation, version: int) -> None:
    """Records that do not parse, in batches whose header and checksum are right."""
    if version != 9:
        return

    def broken(change: Callable[[bytearray], None]) -> bytes:
        raw = batch(2)
        change(raw)
        return sealed(raw)

    def length(raw: bytearray) -> None:
        raw[61] = 0x7E

    def offset(raw: bytearray) -> None:
        raw[64] = 0x08

    for codec in ("producer", "gzip"):
        for name, label, change in (
            ("longer", "a record longer than the batch", length),
            ("delta", "an offset delta of 4", offset),
        ):
            body = produce_body(c, version, c.topic(f"{name}-{codec}", compression_type=codec), broken(change))
            c.ask(f"{label}, compression by {codec}", k.PRODUCE, version, body, on=label + codec)
    garbage = batch(2)
    garbage[22] |= GZIP
    body = produce_body(c, version, c.topic("garbage", compression_type="gzip"), sealed(garbage))
    c.ask("says gzip, is not, compressed again", k.PRODUCE, version, body, on="garbage")
