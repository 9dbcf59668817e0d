"""A pinned program built from source by `go install`, once, and kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class GoProgram:
    """`package` is what Go builds, `kept` the folder of the cache."""

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

    def build(self) -> None:
        """Build and keep it. Raises CalledProcessError."""
        print(f"building {self.name} {self.version}; this takes some minutes, once", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="moldau-build-", dir=self.folder) as bin_dir:
            env = {**os.environ, "GOBIN": bin_dir, "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
            command = ["go", "install", "-ldflags=-s -w", f"{self.package}@{self.version}"]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr[-4000:], file=sys.stderr)
                done.check_returncode()
            os.replace(Path(bin_dir) / self.name, self.path)


def provide(programs: Sequence[GoProgram]) -> int:
    """Build those that are missing and print where all are; the exit code. Without Go it says so, which is an error in CI."""
    for program in programs:
        program.folder.mkdir(parents=True, exist_ok=True)
        with open(program.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it built
            if not program.path.exists():
                if shutil.which("go") is None:
                    print(
                        f"{program.name} is missing and there is no go to build it: its tests are skipped",
                        file=sys.stderr,
                    )
                    return 1 if os.environ.get("CI") else 0
                program.build()
            print(program.path)
    return 0
