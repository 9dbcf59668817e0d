"""The four codecs of record batches, all through the library `cramjam` (which lets other threads run meanwhile).

What stands after a batch header is one compressed stream of all records:

    1 gzip    RFC 1952; several members may follow each other
    2 snappy  as Java's snappy library frames it ("xerial": 16 bytes of head, then blocks of int32 length and raw
              snappy), or raw snappy without any frame, as some other clients send it
    3 lz4     the LZ4 frame format with independent blocks (Java's reader refuses linked ones)
    4 zstd    RFC 8878

Decompression is bounded: a stream that would grow beyond `max_bytes` is refused once it passes the bound, and never
takes more than about twice that much memory, whatever its head claims. The library is imported when it is first needed,
for a broker whose topics keep the producer's codec never needs it.
"""

from typing import TYPE_CHECKING, Final

from moldau.protocol import error_codes
from moldau.records.batch import Buffer
from moldau.records.errors import InvalidBatch, invalid

if TYPE_CHECKING:
    from collections.abc import Callable

NONE: Final = 0
GZIP: Final = 1
SNAPPY: Final = 2
LZ4: Final = 3
ZSTD: Final = 4

CODEC_NAMES: Final = ("none", "gzip", "snappy", "lz4", "zstd")

LEVELS: Final = {GZIP: (1, 9, -1), LZ4: (1, 17, 9), ZSTD: (-131072, 22, 3)}
"""Least, greatest and default of `compression.<codec>.level`. For gzip -1, zlib's own default, is legal too."""

DECOMPRESSED_BYTES_MAX: Final = 256 * 1024 * 1024
"""What one batch may grow to unless the caller says otherwise."""

_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEAD = _XERIAL_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_XERIAL_BLOCK_BYTES = 32 * 1024
_FIRST_GUESS_MIN = 64 * 1024
_GZIP_RATIO_MAX = 1032
_SNAPPY_RATIO_MAX = 64


def codec_of(name: str) -> int:
    """Codec id of a codec's name in `compression.type`; `uncompressed` is the broker's word for `none`.

    Raises ValueError for anything else, `producer` too: that is no codec.
    """
    return NONE if name == "uncompressed" else CODEC_NAMES.index(name)


def compress(codec: int, data: Buffer, level: int | None = None) -> bytes:
    """The records of a batch as one compressed stream. `level` None is Kafka's default for the codec."""
    import cramjam

    if codec == NONE:
        return bytes(data)
    if codec == GZIP:
        return bytes(cramjam.gzip.compress(data, level=6 if level is None or level < 0 else level))
    if codec == SNAPPY:
        return _compress_xerial(data)
    if codec == LZ4:
        # The library's levels end at 12, Java's at 17; both stop getting denser well before.
        stream = cramjam.lz4.Compressor(
            level=min(LEVELS[LZ4][2] if level is None else level, 12), content_checksum=False, block_linked=False
        )
        stream.compress(bytes(data))
        return bytes(stream.finish())
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(data, level=LEVELS[ZSTD][2] if level is None else level))
    raise ValueError(f"codec {codec} is not one of {CODEC_NAMES}")


def decompress(codec: int, data: Buffer, max_bytes: int = DECOMPRESSED_BYTES_MAX) -> memoryview:
    """The records of a batch, decompressed. With codec 0 a view of `data` itself.

    Raises `InvalidBatch`: INVALID_RECORD if the stream is damaged or ends early, MESSAGE_TOO_LARGE if it holds more
    than `max_bytes`, UNSUPPORTED_COMPRESSION_TYPE for codecs 5 to 7.
    """
    if codec == NONE:
        return memoryview(data)
    if codec == SNAPPY:
        return _decompress_snappy(memoryview(data), max_bytes)
    if codec not in (GZIP, LZ4, ZSTD):
        raise InvalidBatch(error_codes.UNSUPPORTED_COMPRESSION_TYPE, f"unknown compression codec {codec}")
    import cramjam

    if codec == GZIP:
        # The last four bytes say how much the last member holds, modulo 2^32: right for all but hand-made streams.
        claimed = int.from_bytes(memoryview(data)[-4:], "little") if len(data) >= 18 else 0
        return _grow_into("gzip", cramjam.gzip.decompress_into, data, claimed, max_bytes)
    if codec == LZ4:
        return _grow_into("lz4", cramjam.lz4.decompress_into, data, 0, max_bytes)
    return _grow_into("zstd", cramjam.zstd.decompress_into, data, 0, max_bytes)


def _grow_into(
    name: str, decompress_into: "Callable[[Buffer, bytearray], int]", data: Buffer, claimed: int, max_bytes: int
) -> memoryview:
    """Decompress into a buffer of fixed size, and into a larger one if that was too small, up to `max_bytes`.

    The library writes into the buffer it is given and never beyond. `claimed` is a first guess, believed as far as the
    format can shrink things at all.
    """
    size = min(max_bytes, max(min(claimed, _GZIP_RATIO_MAX * len(data)), 4 * len(data), _FIRST_GUESS_MIN))
    while True:
        out = bytearray(size)
        try:
            count = decompress_into(data, out)
        except Exception as error:
            if "whole buffer" not in str(error):
                raise invalid(f"the {name} stream of the records is damaged: {error}") from None
            if size >= max_bytes:
                raise _too_large(name, max_bytes) from None
            size = min(max_bytes, size * 4)
        else:
            return memoryview(out)[:count]


def _too_large(name: str, max_bytes: int) -> InvalidBatch:
    return InvalidBatch(error_codes.MESSAGE_TOO_LARGE, f"the {name} stream of the records exceeds {max_bytes} bytes")


def _compress_xerial(data: Buffer) -> bytes:
    import cramjam

    view = memoryview(data)
    out = bytearray(_XERIAL_HEAD)
    for start in range(0, len(view), _XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK_BYTES]))
        out += len(block).to_bytes(4, "big")
        out += block
    return bytes(out)


def _decompress_snappy(data: memoryview, max_bytes: int) -> memoryview:
    if data[:8] != _XERIAL_MAGIC:
        out = bytearray()
        _append_raw_snappy(out, data, max_bytes)
        return memoryview(out)
    out = bytearray()
    pos = len(_XERIAL_HEAD)
    end = len(data)
    if end < pos:
        raise invalid("the snappy stream of the records is damaged: it ends inside its head")
    while pos < end:
        if data[pos : pos + 8] == _XERIAL_MAGIC:  # streams written one after the other
            pos += len(_XERIAL_HEAD)
            continue
        following = pos + 4 + int.from_bytes(data[pos : pos + 4], "big")
        if end - pos < 4 or following > end:
            raise invalid("the snappy stream of the records is damaged: it ends inside a block")
        _append_raw_snappy(out, data[pos + 4 : following], max_bytes)
        pos = following
    return memoryview(out)


def _append_raw_snappy(out: bytearray, block: memoryview, max_bytes: int) -> None:
    import cramjam

    try:
        # A raw block begins with its decompressed length, which the library checks against what it finds.
        size = cramjam.snappy.decompress_raw_len(block)
        if len(out) + size > max_bytes:
            raise _too_large("snappy", max_bytes)
        if size > _SNAPPY_RATIO_MAX * len(block):
            raise invalid("the snappy stream of the records is damaged: a block claims more than it can hold")
        decoded = bytearray(size)
        count = cramjam.snappy.decompress_raw_into(block, decoded)
    except cramjam.DecompressionError as error:
        raise invalid(f"the snappy stream of the records is damaged: {error}") from None
    out += memoryview(decoded)[:count]
