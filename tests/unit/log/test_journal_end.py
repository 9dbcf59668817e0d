"""Where a growing journal ends: after its last section, whatever is behind it; damage is told from growth."""

from __future__ import annotations

import pytest

from moldau.log import sections
from moldau.log.journal_end import HoleInJournal, journal_end

BLOB = 7


def section(synced_to: int = 0, length: int = 100, partitions: int = 1) -> bytes:
    table = [(n, 0, length) for n in range(partitions)]
    return sections.pack_header(BLOB, 5, synced_to, 0, table) + b"r" * length * partitions


class File:
    """Grows while it is read: `later` is called before the n-th read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads = 0
        self.later: dict[int, bytes] = {}

    def read(self, position: int, length: int) -> bytes:
        self.reads += 1
        self.content = self.later.get(self.reads, self.content)
        return self.content[position : position + length]


@pytest.mark.parametrize("tail", [b"", b"\0" * 10_000, b"MLS2", b"M", b"x" * 500, section()[:20]])
def test_the_end_is_after_the_last_section(tail: bytes) -> None:
    whole = section() + section(partitions=200) + section(synced_to=100)
    assert journal_end(File(whole + tail).read, BLOB, 0) == len(whole)
    assert journal_end(File(whole + tail).read, BLOB, len(section())) == len(whole)
    assert journal_end(File(tail).read, BLOB, 0) == 0


def test_the_last_section_may_not_be_complete() -> None:
    whole = section()
    assert journal_end(File(whole + section()[:-30]).read, BLOB, 0) == 2 * len(whole)


def test_a_hole_below_what_was_synced_is_damage() -> None:
    one = section()
    damaged = bytearray(one + section(synced_to=2 * len(one)) + b"\0" * 100)
    damaged[5] ^= 1
    with pytest.raises(HoleInJournal, match="no section at 0"):
        journal_end(File(bytes(damaged)).read, BLOB, 0)
    # behind what the last one knows to be synced it is the tail of a crash
    damaged = bytearray(one + one + section(synced_to=len(one)))
    damaged[len(one)] ^= 1
    assert journal_end(File(bytes(damaged)).read, BLOB, 0) == len(one)


def test_what_grew_between_two_looks_is_no_damage() -> None:
    """Nothing at the end at the first look; at the second, behind it, a section that knows it was synced."""
    one = section()
    grown = one + one + section(synced_to=2 * len(one))
    file = File(one + b"\0" * 1000)
    file.later[3] = grown  # reads: the first, nothing behind it, the search
    assert journal_end(file.read, BLOB, 0) == len(grown)
    assert file.reads >= 5


def test_a_search_looks_across_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moldau.log.journal_end._READ_BYTES", sections.HEADER_MAX + 50)
    one = section(length=sections.HEADER_MAX * 2)
    content = bytearray(one + section(synced_to=len(one), partitions=200, length=1))
    content[0] ^= 1
    with pytest.raises(HoleInJournal):
        journal_end(File(bytes(content)).read, BLOB, 0)
