"""A pinned program installed by npm, once, and kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NodeProgram:
    """`package` is npm's name, `main` the script within it that node runs, `before` the day (YYYY-MM-DD) that pins what it needs itself."""

    name: str
    package: str
    version: str
    main: str
    before: str

    @property
    def folder(self) -> Path:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / "moldau" / "node-programs"

    @property
    def path(self) -> Path:
        """The script of this version, there or not."""
        return self._home / "node_modules" / self.package / self.main

    @property
    def _home(self) -> Path:
        return self.folder / f"{self.name}-{self.version}"

    def install(self) -> None:
        """Fetch and keep it. Raises CalledProcessError."""
        print(f"installing {self.name} {self.version}; once", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="install-", dir=self.folder) as place:
            command = [
                "npm",
                "install",
                "--prefix",
                place,
                "--before",
                self.before,
                "--ignore-scripts",
                "--omit=optional",
            ]
            command += ["--no-audit", "--no-fund", "--loglevel=error", f"{self.package}@{self.version}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stderr[-4000:], file=sys.stderr)
                done.check_returncode()
            (home := Path(place) / "home").mkdir()
            os.replace(Path(place) / "node_modules", home / "node_modules")
            os.replace(home, self._home)


def provide(program: NodeProgram) -> None:
    """Install it if it is missing and print where it is. Without npm it says so. Raises CalledProcessError."""
    program.folder.mkdir(parents=True, exist_ok=True)
    with open(program.folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it installed
        if not program.path.exists():
            if shutil.which("npm") is None:
                print(
                    f"{program.name} is missing and there is no npm to install it: its tests are skipped",
                    file=sys.stderr,
                )
                return
            program.install()
        print(program.path)
