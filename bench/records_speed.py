"""Speed of the records layer: `python -m bench.records_speed`.

Expected, on one core of a small shared machine with CPython 3.11: a header below 1 us, validation of a small batch below
2.5 us, CRC-32C of large buffers above 5 GB/s, a look-up below 3 us a record.
Sketch: a header is one `unpack_from` and thirteen attribute stores, 0.6 us; validation adds a slice, a call of the
checksum and a dozen comparisons of ints; anything that touches a record costs five varints, a microsecond or two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench.protocol_speed import microseconds
from moldau.records.batch import BatchHeader, set_base_offset
from moldau.records.builder import build_batch
from moldau.records.compression import CODEC_NAMES, compress, decompress
from moldau.records.crc import crc32c
from moldau.records.lookup import find_timestamp
from moldau.records.record import Record, iter_records
from moldau.records.validate import Rules, prepare, validate

NOW = 1_700_000_000_000
RULES = Rules(max_message_bytes=1 << 30)
DEEP = Rules(max_message_bytes=1 << 30, require_keys=True)
SIZES = ((100, "100 B"), (16 * 1024, "16 KB"), (1024 * 1024, "1 MB"))


def batch_of(size: int) -> memoryview:
    """A batch of about `size` bytes, of records of 100 bytes each."""
    count = max(1, size // 112)
    value = bytes(range(90)) if size > 100 else b"v" * 20
    return memoryview(build_batch([Record(i, NOW + i, b"key-%06d" % i, value) for i in range(count)]))


def main() -> None:
    batch = batch_of(100)
    print(f"{'parse a header':32}{microseconds(partial(BatchHeader, batch)):10.2f} us")
    print(f"{'patch base offset and epoch':32}{microseconds(partial(set_base_offset, batch, 0, 5, 1)):10.2f} us")
    set_base_offset(batch, 0, 0, -1)
    for size, label in SIZES:
        batch = batch_of(size)
        whole: tuple[tuple[str, Callable[[], object]], ...] = (
            ("CRC-32C", partial(crc32c, batch)),
            ("validate", partial(validate, batch, RULES, NOW)),
            ("prepare", partial(prepare, batch, RULES, NOW)),
        )
        for name, work in whole:
            spent = microseconds(work)
            print(f"{name + ' ' + label:32}{spent:10.2f} us{len(batch) / spent:10.0f} MB/s")
    batch = batch_of(SIZES[-1][0])
    count = BatchHeader(batch).record_count
    per_record: tuple[tuple[str, Callable[[], object]], ...] = (
        ("validate keys of", partial(validate, batch, DEEP, NOW)),
        ("look up the last time in", partial(find_timestamp, batch, NOW + count - 1)),
        ("decode", lambda: list(iter_records(batch))),
        ("build", partial(build_batch, list(iter_records(batch)))),
    )
    for name, look in per_record:
        print(f"{name + ' 1 MB':32}{microseconds(look) / count:10.2f} us a record")
    raw = b"".join(b"line %d of some text that compresses well\n" % number for number in range(24_000))
    for codec in range(1, 5):
        packed = compress(codec, raw)
        out, back = microseconds(partial(compress, codec, raw)), microseconds(partial(decompress, codec, packed))
        print(f"{CODEC_NAMES[codec] + ' 1 MB of text':32}{len(raw) / out:10.0f} MB/s{len(raw) / back:10.0f} MB/s back")


if __name__ == "__main__":
    main()
