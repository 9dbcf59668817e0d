"""Two PostgreSQL servers, one of which follows the other: every commit waits until both have it. And brokers whose URL names both.

    with Replicated(3) as cluster:
        cluster.fail_over()   # the primary dies, the other one takes its place
        cluster.rejoin()      # the dead one follows it, and from now on commits wait for that

Failing over is done as high-availability software does it: the primary is out of the way first, and only a standby that confirms commits takes its place.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from moldau.dev.postgres import PostgresFailed

from .cluster import BROKER_FAULTS, Cluster
from .postgres import Postgres

_WAIT_SECONDS = 20.0
_SETTINGS = {"wal_keep_size": "128MB", "hot_standby": "on"}


class Server(Postgres):
    """One of the two."""

    def freeze(self) -> None:
        """All of it does nothing any more, and its connections stay: a machine that hangs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)  # it starts no more processes
        for pid in _children(self.process.pid):
            _send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """After `freeze`. No-op otherwise."""
        if self.process is not None:
            for pid in [*_children(self.process.pid), self.process.pid]:
                _send(pid, signal.SIGCONT)

    def die(self) -> None:
        """kill -9 to all of it, frozen or not. No-op when it is dead."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal.SIGSTOP)
        for pid in _children(process.pid):
            _send(pid, signal.SIGKILL)
        process.kill()
        process.wait()

    def follow(self, primary: Server) -> None:
        """Start as a copy of the primary, made now, that follows it from here on."""
        shutil.rmtree(self.data, ignore_errors=True)
        if self._user:
            shutil.chown(self.folder, self._user["user"], self._user["group"])
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        how = ("--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--wal-method=stream")
        self._run("pg_basebackup", "-d", source, "-D", self.data, *how)
        self.start()

    @property
    def name(self) -> str:
        """As a standby."""
        return f"standby_{self.port}"

    def promote(self) -> None:
        """It takes writes when this returns, and waits for no standby."""
        if self.sql("SELECT pg_promote(true, 20)") != "t":
            raise RuntimeError(f"the standby was not promoted:\n{self.log()[-2000:]}")
        self._wait_for_commits_on("")

    def wait_for(self, standby: Server) -> None:
        """Every commit from now on waits until that one has it."""
        self._wait_for_commits_on(standby.name)
        state = f"SELECT sync_state FROM pg_stat_replication WHERE application_name = '{standby.name}'"
        deadline = time.monotonic() + _WAIT_SECONDS
        while self.sql(state) != "sync":
            if time.monotonic() > deadline:
                raise RuntimeError(f"the standby does not follow:\n{standby.log()[-2000:]}")
            time.sleep(0.02)
        self.sql("CHECKPOINT")  # it is the checkpointer who makes sessions wait, and it looks at its settings first

    def _wait_for_commits_on(self, names: str) -> None:
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.sql("SELECT pg_reload_conf()")


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                stat = (each / "stat").read_text()
            except OSError:
                continue  # it has ended
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(each.name))
    return found


def _told(work: Callable[[], None]) -> None:
    """Raises RuntimeError, as everything does that breaks and mends a cluster."""
    try:
        work()
    except PostgresFailed as error:
        raise RuntimeError(str(error)) from error


class Replicated(Cluster):
    """Brokers on a folder and the two servers, both named in their URL."""

    def __init__(self, brokers: int = 3, postgres: int = 16, **settings: str) -> None:
        super().__init__(brokers, "file", postgres, **settings)
        self.can = BROKER_FAULTS | {"pg-failover", "pg-hang", "pg-standby", "peer-cut", "peer-stall"}
        self.primary: Server
        self.standby: Server | None = None
        self._away: Server | None = None
        """The old primary, dead or frozen."""
        self._ports: list[int] = []

    def _open_postgres(self) -> None:
        self.primary, self.standby = Server(self._version, **_SETTINGS), Server(self._version, **_SETTINGS)
        for server in (self.primary, self.standby):
            self._stack.callback(server.remove)
            self._stack.callback(server.die)
        self._ports = [self.primary.port, self.standby.port]
        self.primary.start()
        self._database = self.primary.database()
        self.standby.follow(self.primary)
        self.primary.wait_for(self.standby)

    def _metadata_url(self, node_id: int) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"postgresql://postgres@{hosts}/{self._database}"

    def fail_over(self, *, hangs: bool = False) -> None:
        """The primary dies, or hangs for good, and the standby takes its place. No-op while there is no standby."""
        if self.standby is None:
            return
        old, new = self.primary, self.standby
        if hangs:
            old.freeze()
        else:
            old.die()
        self._away, self.primary, self.standby = old, new, None
        new.thaw()
        _told(new.promote)

    def freeze_standby(self) -> None:
        """It confirms no commit. No-op without one."""
        if self.standby is not None:
            self.standby.freeze()

    def thaw_standby(self) -> None:
        """No-op without one."""
        if self.standby is not None:
            self.standby.thaw()

    def rejoin(self) -> None:
        """The old primary follows the new one, and commits wait for it from now on. No-op without one."""
        if self._away is None:
            return
        server, self._away = self._away, None
        server.die()
        _told(lambda: server.follow(self.primary))
        _told(lambda: self.primary.wait_for(server))
        self.standby = server

    def postgres_start(self) -> None:
        """What `heal` does about PostgreSQL."""
        self.thaw_standby()
        self.rejoin()
