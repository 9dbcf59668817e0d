"""`python -m tools.s3_servers`: builds the S3 servers that the tests run against, where they are missing, and prints where they are.

Pinned versions, built from source by `go install` (two minutes each, once) and kept in `~/.cache/moldau/s3-servers`. Without Go nothing is built,
which is said, and the tests that need them are skipped; with CI set it is an error.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SERVERS: Final = {
    "minio": ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c"),
    "versitygw": ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0"),
}
"""Name of the program, its Go package, its version. (MinIO has no versions that Go knows: a date and a commit name one.)"""


def folder() -> Path:
    """Where the programs are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "moldau" / "s3-servers"


def program(name: str) -> Path:
    """Where the pinned version of a server is, or will be."""
    return folder() / f"{name}-{SERVERS[name][1]}"


def build(name: str) -> None:
    """Build and keep it. Raises CalledProcessError."""
    package, version = SERVERS[name]
    print(f"building {name} {version}; this takes some minutes, once", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="moldau-build-", dir=folder()) as bin_dir:
        env = {**os.environ, "GOBIN": bin_dir, "CGO_ENABLED": "0", "GOFLAGS": "-trimpath"}
        command = ["go", "install", "-ldflags=-s -w", f"{package}@{version}"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr[-4000:], file=sys.stderr)
            done.check_returncode()
        os.replace(Path(bin_dir) / name, program(name))


def main() -> int:
    """The exit code."""
    folder().mkdir(parents=True, exist_ok=True)
    with open(folder() / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds it built
        for name in SERVERS:
            if not program(name).exists():
                if shutil.which("go") is None:
                    print(f"{name} is missing and there is no go to build it: its tests are skipped", file=sys.stderr)
                    return 1 if os.environ.get("CI") else 0
                build(name)
            print(program(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
