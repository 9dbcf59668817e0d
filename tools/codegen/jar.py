"""The kafka-clients jar: where it comes from and what is read out of it.

The jar is fetched once with Maven into the user's cache directory; `MOLDAU_KAFKA_CLIENTS_JAR` names another copy.
"""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

VERSION = "4.4.0"
COORDINATES = f"org.apache.kafka:kafka-clients:{VERSION}"
COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


class JarMissing(Exception):
    """The jar is neither where the environment says, nor cached, nor could Maven fetch it."""


def find() -> Path:
    """Path of the jar, fetched if it has to be. Raises `JarMissing` with the reason."""
    named = os.environ.get("MOLDAU_KAFKA_CLIENTS_JAR")
    if named:
        if not Path(named).is_file():
            raise JarMissing(f"MOLDAU_KAFKA_CLIENTS_JAR={named!r} is not a file")
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moldau" / "kafka-clients"
    jar = cache / f"kafka-clients-{VERSION}.jar"
    if not jar.is_file():
        _fetch(cache)
    if not jar.is_file():
        raise JarMissing(f"Maven reported success but {jar} is not there")
    return jar


def _fetch(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    command = ["mvn", "-q", "-B", COPY_GOAL, f"-Dartifact={COORDINATES}", f"-DoutputDirectory={directory}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        raise JarMissing(f"Maven (mvn) is not installed, so {COORDINATES} cannot be fetched") from None
    except subprocess.TimeoutExpired:
        raise JarMissing(f"Maven did not fetch {COORDINATES} within 300 s") from None
    if done.returncode:
        raise JarMissing(f"Maven could not fetch {COORDINATES}: {(done.stdout + done.stderr).strip()[-500:]}")


class Archive:
    """What is read out of the jar."""

    def __init__(self, jar: Path) -> None:
        self._zip = zipfile.ZipFile(jar)

    def message_texts(self) -> dict[str, str]:
        """Text of every message definition, by message name."""
        prefix = "common/message/"
        names = [name for name in self._zip.namelist() if name.startswith(prefix) and name.endswith(".json")]
        return {name[len(prefix) : -len(".json")]: self._zip.read(name).decode() for name in sorted(names)}

    def class_bytes(self, class_name: str) -> bytes:
        """The class file of `class_name` (slashes between packages)."""
        return self._zip.read(f"{class_name}.class")
