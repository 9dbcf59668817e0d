"""Bits flipped and tails torn in every kind of file: a start refuses it with one line, or what a consumer reads is right or an error;
`moldau inspect` finds it wherever somebody could notice; and nowhere is there a traceback.

One directory holds everything: segments, sealed and growing journals with rows and without, records in the metadata file, SQLite's log. It is
there as a clean stop leaves it, and as `kill -9` does. Each test damages copies of it at many places.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import small_broker
from support.talker import EARLIEST, LATEST, Gone, Talker, batch_of, records_of
from test_power_cuts import copy_killed

from moldau.blobs.ports import BlobError
from moldau.broker import upkeep
from moldau.broker.options import Options
from moldau.cli.main import root
from moldau.log import journal, wal
from moldau.log.sections import unpack_header
from moldau.metadata.errors import StoreError
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, KIND_WAL
from moldau.protocol import error_codes
from moldau.server.data_dir import DataDirError
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FLIPS = 24
"""Places in each kind of file."""
SEEDS = int(os.environ.get("MOLDAU_DAMAGE_SEEDS", "1"))
"""More of them look at more places of the metadata file."""
TOPICS = {"segments": 400, "journal": 30, "inline": 60}
"""Batches of each topic, one record each."""
SIZES = {"segments": 1000, "journal": 60_000, "inline": 500}
ERRORS = {error_codes.KAFKA_STORAGE_ERROR, error_codes.UNKNOWN_TOPIC_OR_PARTITION, error_codes.OFFSET_OUT_OF_RANGE}
"""What a consumer may be told."""

NEWEST = -3
"""Instead of a time: the record with the greatest one (KIP-734)."""

Records = dict[str, list[bytes]]


def options() -> Options:
    made = Options()
    made.tail_cache_bytes = 0
    made.segment_build_age_ms = 0
    made.segment_min_bytes, made.segment_max_bytes = 150_000, 200_000
    return made


class Whole:
    """The directory. `records` by topic, in the order of their offsets; the last `unapplied` of "journal" are in no row yet."""

    unapplied = 4
    late = 10
    """So many of them come last, all but one at least in the same file."""

    def __init__(self, folder: Path) -> None:
        self.records: Records = {topic: [] for topic in TOPICS}
        self.stopped, self.killed = folder / "stopped", folder / "killed"
        with BrokerThread(options(), self.stopped) as broker, Talker(broker.bootstrap) as wire:
            producer = wire.producer_id()[:2]
            for topic, count in TOPICS.items():
                wire.create_topic(topic)
                for n in range(count - self.late if topic == "journal" else count):
                    self._send(wire, topic, n, producer)
            assert wire.commit_offset("g", "segments", 0, 17) == 0
            deadline = time.monotonic() + 20
            before: list[tuple[int, int, int]] = []
            while {kind for _, _, kind in before} != {KIND_WAL, KIND_SEGMENT, KIND_INLINE} or before != self.extents(
                self.stopped
            ):
                assert time.monotonic() < deadline, before
                before = self.extents(self.stopped)
                time.sleep(0.2)  # ten rounds of the builder's
            wal.ROLL_BYTES, upkeep._TICK_SECONDS = 1 << 30, 3600.0  # the fixture puts them back
            time.sleep(0.1)
            for n in range(TOPICS["journal"] - self.late, TOPICS["journal"]):
                if n == TOPICS["journal"] - self.unapplied:
                    while len(self.extents(self.stopped)) < len(before) + self.late - self.unapplied:
                        assert time.monotonic() < deadline
                        time.sleep(0.02)
                    journal.APPLY_SECONDS = 3600.0
                self._send(wire, "journal", n, producer)
            copy_killed(self.stopped, self.killed, same_boot=True)
        assert (self.killed / "metadata.sqlite-wal").stat().st_size > 0
        assert (self.stopped / "metadata.sum").exists()

    def _send(self, wire: Talker, topic: str, n: int, producer: tuple[int, int]) -> None:
        value = b"%s %d " % (topic.encode(), n) + random.Random(n).randbytes(SIZES[topic])
        assert wire.produce(topic, 0, batch_of([value], producer, n)).error_code == 0
        self.records[topic].append(value)

    @staticmethod
    def extents(data: Path) -> list[tuple[int, int, int]]:
        """(blob, length, kind) of each."""
        connection = sqlite3.connect(data / "metadata.sqlite")
        try:
            return connection.execute("SELECT blob_id, length, kind FROM extent").fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    with pytest.MonkeyPatch.context() as patch:
        small_broker.shrink(patch.setattr)
        return Whole(tmp_path_factory.mktemp("whole"))


class Seen:
    """What somebody noticed of damage: a start that was refused (the line), or errors that a consumer got."""

    def __init__(self) -> None:
        self.refused = ""
        self.errors: set[int] = set()
        self.read: dict[str, int] = {}
        self.starts: dict[str, int] = {}
        self.committed = -1

    @property
    def noticed(self) -> bool:
        return bool(self.refused or self.errors)


def serve_and_read(data: Path, records: Records) -> Seen:
    """Start on it and read everything; whatever is read is right, and without a gap."""
    seen = Seen()
    broker = BrokerThread(options(), data)
    try:
        broker.start()
    except (DataDirError, StoreError, BlobError) as error:  # what `moldau serve` tells in one line
        seen.refused = str(error)
        assert "\n" not in seen.refused
        return seen
    try:
        with Talker(broker.bootstrap) as wire:
            for topic, values in records.items():
                read(wire, topic, values, seen)
            answer = wire.fetch_offset("g", "segments", 0)
            if answer.error_code:
                assert answer.error_code == error_codes.COORDINATOR_NOT_AVAILABLE
                seen.errors.add(answer.error_code)
            else:
                seen.committed = answer.topics[0].partitions[0].committed_offset
    except Gone as gone:
        pytest.fail(f"the broker hung up: {gone}")
    finally:
        broker.stop()
    return seen


def read(wire: Talker, topic: str, values: list[bytes], seen: Seen) -> None:
    asked = [wire.list_offset(topic, 0, timestamp) for timestamp in (EARLIEST, LATEST, 1, NEWEST)]
    codes = {answer.error_code for answer in asked} - {0}
    assert codes <= ERRORS
    seen.errors |= codes
    if asked[0].error_code or asked[1].error_code:
        return
    start, end = asked[0].offset, asked[1].offset
    seen.starts[topic] = start
    assert 0 <= start <= end <= len(values), f"{topic} spans {start}..{end}"
    offset = start
    while offset < end:
        answer = wire.fetch(topic, 0, offset)
        if answer.error_code:
            assert answer.error_code in ERRORS
            assert not answer.records
            seen.errors.add(answer.error_code)
            offset += 1 + (end - offset) // 10  # what is behind the damage is right, too
            continue
        found = [record for record in records_of(answer.records) if record.offset >= offset]
        assert found, f"{topic}: nothing at {offset}, the end is {end}"
        for record in found:
            assert record.offset == offset, f"{topic}: {record.offset} instead of {offset}"
            assert record.value == values[offset], f"{topic}: a wrong record at {offset}"
            offset += 1
    seen.read[topic] = end - start


def inspect(data: Path) -> list[str]:
    """Problems, or the one line with which it is refused."""
    result = CliRunner().invoke(root, ["inspect", "--data", str(data), "--format", "json"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code in (0, 1)
    if result.stdout:
        problems: list[str] = json.loads(result.stdout)["problems"]
        assert bool(problems) == (result.exit_code == 1)
        return problems
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return [line]


class Damage:
    """Copies of a directory, each with one change; `look` says what came of it."""

    def __init__(self, tmp_path: Path, whole: Whole, base: Path, log: pytest.LogCaptureFixture) -> None:
        self._tmp_path = tmp_path
        self._whole = whole
        self._base = base
        self._log = log

    def look(self, name: str, change: Callable[[bytearray], Any], *, finds_all: bool = True) -> tuple[Seen, list[str]]:
        """What came of it where the file `name` was changed, and what `moldau inspect` says; a traceback nowhere.

        `finds_all`: it says something wherever somebody can notice.
        """
        problems = inspect(self._changed("inspected", name, change))
        seen = serve_and_read(self._changed("served", name, change), self._whole.records)
        assert not [record for record in self._log.records if record.exc_info], name
        assert problems or not seen.noticed or not finds_all, (
            f"moldau inspect finds nothing, but: {seen.refused} {seen.errors}"
        )
        return seen, problems

    def _changed(self, word: str, name: str, change: Callable[[bytearray], Any]) -> Path:
        copy = self._tmp_path / word
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self._base, copy)
        content = bytearray((copy / name).read_bytes())
        change(content)
        (copy / name).write_bytes(content)
        return copy


@pytest.fixture
def of_stopped(tmp_path: Path, whole: Whole, caplog: pytest.LogCaptureFixture) -> Damage:
    return Damage(tmp_path, whole, whole.stopped, caplog)


@pytest.fixture
def of_killed(tmp_path: Path, whole: Whole, caplog: pytest.LogCaptureFixture) -> Damage:
    return Damage(tmp_path, whole, whole.killed, caplog)


def flip(at: int, bit: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        content[at] ^= 1 << bit

    return change


def cut(at: int) -> Callable[[bytearray], None]:
    """A torn tail: nothing is there from `at` on."""

    def change(content: bytearray) -> None:
        del content[at:]

    return change


def zeros(at: int) -> Callable[[bytearray], None]:
    """A torn tail of a file that was grown ahead: zeros from `at` on."""

    def change(content: bytearray) -> None:
        content[at:] = bytes(len(content) - at)

    return change


def places(file: Path, count: int = FLIPS, seed: int = 0) -> Iterator[tuple[int, int]]:
    """(byte, bit), some near the begin, where headers are, the others anywhere."""
    rng, size = random.Random(seed), file.stat().st_size
    for n in range(count):
        yield rng.randrange(min(size, 200) if n % 4 == 0 else size), rng.randrange(8)


def everything(whole: Whole, seen: Seen) -> bool:
    return seen.read == {topic: len(values) for topic, values in whole.records.items()}


def blobs_of(data: Path, kind: int) -> list[str]:
    """Names of the files that rows of that kind name."""
    return [
        f"blobs/{blob_id:016x}.blob" for blob_id in sorted({row[0] for row in Whole.extents(data) if row[2] == kind})
    ]


def in_a_batch(data: Path, name: str, at: int) -> bool:
    """Whether a row names that byte, and it is not of a leader epoch, instead of which the row's is served."""
    connection = sqlite3.connect(data / "metadata.sqlite")
    try:
        rows = connection.execute("SELECT position, length FROM extent WHERE blob_id = ?", (int(name[6:22], 16),))
        return any(start <= at < start + length and not 12 <= at - start < 16 for start, length in rows)
    finally:
        connection.close()


def test_the_directories_are_whole(whole: Whole, tmp_path: Path) -> None:
    for base in (whole.stopped, whole.killed):
        shutil.copytree(base, tmp_path / base.name)
        assert inspect(tmp_path / base.name) == []
        seen = serve_and_read(tmp_path / base.name, whole.records)
        assert not seen.noticed
        assert everything(whole, seen)
        assert seen.committed == 17


# -- after a clean stop -----------------------------------------------------------------------------------------------


def test_flips_in_the_metadata_file_of_a_stopped_broker(whole: Whole, of_stopped: Damage) -> None:
    for at, bit in places(whole.stopped / "metadata.sqlite"):
        seen, problems = of_stopped.look("metadata.sqlite", flip(at, bit))
        assert "is not as it was when the broker stopped" in seen.refused
        assert problems
    for at in (0, 100, 5000):
        seen, problems = of_stopped.look("metadata.sqlite", cut(at))
        assert seen.refused
        assert problems


def test_flips_in_its_checksum(whole: Whole, of_stopped: Damage) -> None:
    for at, bit in places(whole.stopped / "metadata.sum", 8):
        seen, problems = of_stopped.look("metadata.sum", flip(at, bit))
        assert "is not as it was" in seen.refused
        assert problems
    assert of_stopped.look("metadata.sum", cut(3))[0].refused


def test_flips_in_a_segment(whole: Whole, of_stopped: Damage) -> None:
    names = blobs_of(whole.stopped, KIND_SEGMENT)
    for n in range(FLIPS):
        name = names[n % len(names)]
        ((at, bit),) = places(whole.stopped / name, 1, n)
        seen, problems = of_stopped.look(name, flip(at, bit))
        assert problems, at
        assert seen.errors <= {error_codes.KAFKA_STORAGE_ERROR}
        assert seen.errors or everything(whole, seen)
    size = (whole.stopped / names[0]).stat().st_size
    for torn in (cut(0), cut(50), cut(size - 1), zeros(size // 2), zeros(size - 100)):
        assert of_stopped.look(names[0], torn)[1]


def test_flips_in_a_sealed_journal(whole: Whole, of_stopped: Damage) -> None:
    names = blobs_of(whole.stopped, KIND_WAL)
    for n in range(FLIPS):
        name = names[n % len(names)]
        ((at, bit),) = places(whole.stopped / name, 1, n)
        seen, problems = of_stopped.look(name, flip(at, bit))
        assert seen.errors <= {error_codes.KAFKA_STORAGE_ERROR}
        assert seen.errors or everything(whole, seen)
        if in_a_batch(whole.stopped, name, at):
            assert seen.errors, (name, at)
            assert problems
    for torn in (cut(0), cut(50), cut(30_000), zeros(30_000)):
        seen, problems = of_stopped.look(names[-1], torn)
        assert seen.errors == {error_codes.KAFKA_STORAGE_ERROR}
        assert problems


def test_a_file_that_is_not_there(whole: Whole, of_stopped: Damage, tmp_path: Path) -> None:
    for kind in (KIND_SEGMENT, KIND_WAL):
        name = blobs_of(whole.stopped, kind)[0]
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(whole.stopped, copy)
        (copy / name).unlink()
        assert any("missing" in each for each in inspect(copy))
        seen = serve_and_read(copy, whole.records)
        assert seen.errors == {error_codes.KAFKA_STORAGE_ERROR}


def test_flips_in_format_and_lock(whole: Whole, of_stopped: Damage) -> None:
    for at in range(3):
        for bit in range(8):
            seen, _ = of_stopped.look("format", flip(at, bit))
            assert seen.refused or everything(whole, seen)
            assert seen.refused or at > 0, bit
    assert of_stopped.look("format", cut(0))[0].refused
    for at, bit in places(whole.stopped / "lock", 8):
        assert everything(whole, of_stopped.look("lock", flip(at, bit))[0])
    assert everything(whole, of_stopped.look("lock", cut(0))[0])


# -- after kill -9 ----------------------------------------------------------------------------------------------------


def open_journal(whole: Whole) -> tuple[str, list[int]]:
    """The file that was not sealed, and where its sections begin; the end of the last one at the end."""
    sizes = {file: file.stat().st_size for file in (whole.killed / "blobs").glob("*.blob")}
    name = max(sizes, key=lambda file: sizes[file])  # it was grown ahead
    content, at, starts = name.read_bytes(), 0, [0]
    while content[at : at + 4] == b"MLS2":
        at += unpack_header(content, int(name.stem, 16), at).size
        starts.append(at)
    return f"blobs/{name.name}", starts


def test_flips_in_the_open_journal(whole: Whole, of_killed: Damage) -> None:
    """What is in no row yet is refused; of the last section nobody can tell that it was whole once."""
    name, starts = open_journal(whole)
    assert len(starts) > whole.unapplied + 1
    last, unapplied, end = starts[-2], starts[-1 - whole.unapplied], starts[-1]
    rng = random.Random(1)
    for n in range(FLIPS):
        at = rng.choice(starts[:-1]) + rng.randrange(60) if n % 3 == 0 else rng.randrange(end)
        seen, problems = of_killed.look(name, flip(at, rng.randrange(8)))
        if unapplied <= at < last:
            assert "damaged" in seen.refused
            assert problems
        elif at < unapplied:
            assert seen.errors <= {error_codes.KAFKA_STORAGE_ERROR}
            assert not seen.refused
            assert seen.errors or everything(whole, seen)
    seen, _ = of_killed.look(name, flip(last + 10, 1))
    assert not seen.noticed
    assert seen.read["journal"] == len(whole.records["journal"]) - 1
    assert everything(whole, of_killed.look(name, flip(end + 100, 1))[0])


def test_a_torn_open_journal(whole: Whole, of_killed: Damage) -> None:
    name, starts = open_journal(whole)
    count = len(whole.records["journal"])
    for tear in (cut, zeros):
        for n in range(whole.unapplied):
            seen, _ = of_killed.look(name, tear(starts[-2 - n] + 1000))
            assert seen.read["journal"] == count - n - 1
        seen, problems = of_killed.look(name, tear(30_000))  # in the first section, which rows name
        assert seen.noticed
        assert problems
    assert "record bytes are missing" in of_killed.look(name, cut(0))[0].refused


def test_flips_in_sqlites_log(whole: Whole, of_killed: Damage) -> None:
    for at, bit in places(whole.killed / "metadata.sqlite-wal"):
        seen, _ = of_killed.look("metadata.sqlite-wal", flip(at, bit))
        assert seen.noticed or everything(whole, seen), at
        assert seen.refused or seen.committed == 17
    for at in (0, 20, 40_000):
        seen, _ = of_killed.look("metadata.sqlite-wal", cut(at))
        assert seen.noticed or everything(whole, seen), at  # what lacks rows is in the journal


@pytest.mark.parametrize("seed", range(SEEDS))
def test_flips_in_the_metadata_file_of_a_killed_broker(whole: Whole, of_killed: Damage, seed: int) -> None:
    """There is no checksum of it. What is read is right whatever happens; what is not there was noticed, or the number that says where
    the log begins was hit, which nothing contradicts.
    """
    for at, bit in places(whole.killed / "metadata.sqlite", 3 * FLIPS, seed):
        seen, problems = of_killed.look("metadata.sqlite", flip(at, bit), finds_all=False)
        assert seen.noticed or problems or everything(whole, seen) or any(seen.starts.values()), (at, bit)
