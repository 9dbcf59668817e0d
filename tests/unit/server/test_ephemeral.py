"""The directory of an ephemeral broker."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from moldau.server import ephemeral


def folder(where: Path, name: str, age_seconds: float) -> Path:
    made = where / f"{ephemeral.PREFIX}{name}"
    made.mkdir()
    lock = made / "lock"
    lock.touch()
    then = time.time() - age_seconds
    os.utime(lock, (then, then))
    return made


def test_what_a_killed_broker_left_goes(tmp_path: Path) -> None:
    left, new, living = folder(tmp_path, "left", 600), folder(tmp_path, "new", 0), folder(tmp_path, "living", 600)
    other = tmp_path / "moldau-other"
    other.mkdir()
    with open(living / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ephemeral.sweep(tmp_path) == [left]
    assert sorted(tmp_path.iterdir()) == sorted([living, other, new])


def test_each_broker_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one, two = ephemeral.make(), ephemeral.make()
    assert one != two
    assert one.parent == tmp_path
    ephemeral.remove(one)
    assert not one.exists()
