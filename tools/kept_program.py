"""Pinned programs that tests and tools run, made once and kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True)
class KeptProgram(ABC):
    """`package` is what the maker calls it, `kept` the folder of the cache."""

    maker: ClassVar[str]
    """The program that makes it, which must be there."""

    name: str
    package: str
    version: str
    kept: str = "programs"

    @property
    def folder(self) -> Path:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "moldau" / self.kept

    @property
    def path(self) -> Path:
        """Where this version is, or will be."""
        return self.folder / f"{self.name}-{self.version}"

    def make(self) -> None:
        """Make and keep it. Raises CalledProcessError."""
        print(f"making {self.name} {self.version} by {self.maker}: once", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="moldau-make-", dir=self.folder) as place:
            self._make_in(Path(place))

    @abstractmethod
    def _make_in(self, place: Path) -> None:
        """In that empty folder, then move it to where it is kept."""


def run_maker(command: Sequence[str], env: dict[str, str] | None = None) -> None:
    """Raises CalledProcessError, after showing what it said."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
        done.check_returncode()


def provide(programs: Sequence[KeptProgram]) -> int:
    """Make those that are missing and print where all are; the exit code. Without their maker it says so, which is an error in CI."""
    for program in programs:
        program.folder.mkdir(parents=True, exist_ok=True)
        with open(program.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it made
            if not program.path.exists():
                if shutil.which(program.maker) is None:
                    print(
                        f"{program.name} is missing and there is no {program.maker} to make it: its tests are skipped",
                        file=sys.stderr,
                    )
                    return 1 if os.environ.get("CI") else 0
                program.make()
            print(program.path)
    return 0
