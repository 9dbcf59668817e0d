import gzip
import tracemalloc
import zlib

import cramjam
import pytest

from moldau.protocol import error_codes
from moldau.records.compression import CODEC_NAMES, GZIP, LZ4, NONE, SNAPPY, ZSTD, codec_of, compress, decompress
from moldau.records.errors import InvalidBatch

CODECS = (GZIP, SNAPPY, LZ4, ZSTD)
TEXT = b"".join(b"line %d of some text that compresses well\n" % number for number in range(4000))
XERIAL_HEAD = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
# "hello hello hello": 17 bytes, a literal of six, then a copy of eleven from six back
RAW_SNAPPY = bytes([17, 5 << 2]) + b"hello " + bytes([(11 - 4) << 2 | 1, 6])


def refused(codec: int, data: bytes, max_bytes: int = 10**6) -> InvalidBatch:
    with pytest.raises(InvalidBatch) as caught:
        decompress(codec, data, max_bytes)
    return caught.value


@pytest.mark.parametrize("codec", range(5), ids=CODEC_NAMES)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, bytes(300_000)], ids=["nothing", "one", "text", "zeros"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_round_trip(codec: int, data: bytes, kind: type) -> None:
    packed = compress(codec, kind(data))
    assert decompress(codec, kind(packed)) == data
    if codec and len(data) > 1:
        assert len(packed) < len(data) / 3


@pytest.mark.parametrize(
    ("codec", "level"), [(GZIP, -1), (GZIP, 1), (GZIP, 9), (LZ4, 1), (LZ4, 17), (ZSTD, -131072), (ZSTD, -5), (ZSTD, 22)]
)
def test_levels(codec: int, level: int) -> None:
    assert decompress(codec, compress(codec, TEXT[:2000], level)) == TEXT[:2000]


def test_levels_matter() -> None:
    for codec, fast, dense in ((GZIP, 1, 9), (ZSTD, -50, 12)):
        assert len(compress(codec, TEXT, dense)) < len(compress(codec, TEXT, fast))
    assert compress(ZSTD, TEXT) == compress(ZSTD, TEXT, 3)
    assert compress(GZIP, TEXT) == compress(GZIP, TEXT, -1) == compress(GZIP, TEXT, 6)


def test_names() -> None:
    assert [codec_of(name) for name in CODEC_NAMES] == list(range(5))
    assert codec_of("uncompressed") == NONE
    with pytest.raises(ValueError):
        codec_of("producer")


def test_gzip_is_gzip() -> None:
    assert gzip.decompress(compress(GZIP, TEXT)) == TEXT
    assert decompress(GZIP, gzip.compress(TEXT, 1)) == TEXT
    assert decompress(GZIP, gzip.compress(b"two ") + gzip.compress(b"members")) == b"two members"


def test_lz4_is_written_in_independent_blocks() -> None:
    packed = compress(LZ4, TEXT)
    assert packed[:4] == b"\x04\x22\x4d\x18"
    assert packed[4] & 0b1110_0000 == 0b0110_0000  # version 1, blocks independent: Java's reader refuses linked ones


@pytest.mark.parametrize("linked", [False, True])
def test_lz4_of_either_kind_is_read(linked: bool) -> None:
    stream = cramjam.lz4.Compressor(level=1, content_checksum=True, block_linked=linked)
    stream.compress(TEXT)
    assert decompress(LZ4, bytes(stream.finish())) == TEXT


def test_snappy_both_framings_from_known_bytes() -> None:
    block = len(RAW_SNAPPY).to_bytes(4, "big") + RAW_SNAPPY
    assert decompress(SNAPPY, RAW_SNAPPY) == b"hello hello hello"
    assert decompress(SNAPPY, XERIAL_HEAD + block) == b"hello hello hello"
    assert decompress(SNAPPY, XERIAL_HEAD + block + block) == b"hello hello hello" * 2
    # Java concatenates streams; a second head stands where a block's length would
    assert decompress(SNAPPY, XERIAL_HEAD + block + XERIAL_HEAD + block) == b"hello hello hello" * 2
    assert decompress(SNAPPY, XERIAL_HEAD) == b""


def test_snappy_is_written_in_blocks_of_32_kib() -> None:
    packed = compress(SNAPPY, TEXT)
    assert packed[:16] == XERIAL_HEAD
    pos, sizes = 16, []
    while pos < len(packed):
        length = int.from_bytes(packed[pos : pos + 4], "big")
        sizes.append(len(cramjam.snappy.decompress_raw(packed[pos + 4 : pos + 4 + length])))
        pos += 4 + length
    assert sizes[:-1] == [32768] * (len(TEXT) // 32768)
    assert sum(sizes) == len(TEXT)


@pytest.mark.parametrize("codec", CODECS, ids=CODEC_NAMES[1:])
def test_cut_streams_are_invalid_records(codec: int) -> None:
    packed = compress(codec, TEXT)
    for end in (0, 1, 3, 10, len(packed) // 2, len(packed) - 1):
        assert refused(codec, packed[:end]).error_code == error_codes.INVALID_RECORD, end


@pytest.mark.parametrize("codec", CODECS, ids=CODEC_NAMES[1:])
@pytest.mark.parametrize(
    "data", [b"garbage that is no stream", b"\xff" * 40, bytes(40), b"\x82SNAPPY\x00garbage that goes on"]
)
def test_garbage_is_an_invalid_record(codec: int, data: bytes) -> None:
    if codec == SNAPPY and data == bytes(40):
        data = b"\x05" + bytes(3)
    error = refused(codec, data)
    assert error.error_code == error_codes.INVALID_RECORD
    assert CODEC_NAMES[codec] in error.message


def test_unknown_codecs() -> None:
    for codec in (5, 6, 7):
        assert refused(codec, b"").error_code == error_codes.UNSUPPORTED_COMPRESSION_TYPE
        with pytest.raises(ValueError):
            compress(codec, b"")


@pytest.mark.parametrize("codec", CODECS, ids=CODEC_NAMES[1:])
def test_the_bound_is_exact(codec: int) -> None:
    packed = compress(codec, TEXT)
    assert decompress(codec, packed, len(TEXT)) == TEXT
    assert refused(codec, packed, len(TEXT) - 1).error_code == error_codes.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("codec", CODECS, ids=CODEC_NAMES[1:])
def test_a_bomb_takes_no_memory(codec: int) -> None:
    bomb = compress(codec, bytes(16 * 1024 * 1024))
    limit = 1024 * 1024
    tracemalloc.start()
    try:
        error = refused(codec, bomb, limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.error_code == error_codes.MESSAGE_TOO_LARGE
    assert peak < 3 * limit


def test_a_lying_length_takes_no_memory() -> None:
    deflated = zlib.compressobj(wbits=31)
    stream = bytearray(deflated.compress(b"small") + deflated.flush())
    stream[-4:] = (2**31 - 1).to_bytes(4, "little")
    snappy = b"\xff\xff\xff\xff\x07" + b"abc"
    tracemalloc.start()
    try:
        assert refused(GZIP, bytes(stream), 2**31).error_code == error_codes.INVALID_RECORD
        assert refused(SNAPPY, snappy, 2**31).error_code == error_codes.INVALID_RECORD
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_growing_past_a_wrong_first_guess() -> None:
    data = bytes(9 * 1024 * 1024)
    assert decompress(ZSTD, compress(ZSTD, data)) == data
    # two members: the length at the end is that of the last one only
    assert (
        decompress(GZIP, gzip.compress(data[: 3 * 1024 * 1024], 1) + gzip.compress(b"end"))
        == data[: 3 * 1024 * 1024] + b"end"
    )
