"""Apache Kafka's TransactionalMessageCopier as a process that can be killed, and who starts it again when it ended with an error.

A copier consumes as a member of a group, writes what it was given to another topic, and commits both in one transaction; of three transactions it aborts one.
It ends by itself when nothing is left of the partitions that it has.
"""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity

from .clients.java import Java
from .cluster import Brokers
from .talker import Gone, Talker

GROUP, SOURCE, SINK = "copiers", "source", "sink"
LOGGING = Path(__file__).parent / "java" / "copier.log4j2.properties"
_MEMBER = re.compile(r"(?:joined group with .*?memberId='|with the given member-id: )([^ ']+)")
_PROGRESS = re.compile(rb'"totalProcessed":(\d+)')
_LINE = 400
"""Bytes of more than one line of progress."""
_PARTING = 0.5
"""Seconds between two attempts to take dead members out of the group."""


class Copier:
    """One transactional id. Raises nothing when the program ends: `status` tells how."""

    def __init__(self, java: Java, bootstrap: str, number: int, size: int, folder: Path) -> None:
        """`size`: records of a transaction, at most. All that it says goes to files in `folder`."""
        self._command = [
            *java.command()[:-2],
            f"-Dlog4j2.configurationFile={LOGGING}",
            *java.command()[-2:],
            "org.apache.kafka.tools.TransactionalMessageCopier",
            *("--broker-list", bootstrap),
            *("--input-topic", SOURCE, "--input-partition", "-1", "--output-topic", SINK, "--consumer-group", GROUP),
            *("--transactional-id", f"copier-{number}", "--transaction-size", str(size)),
            *("--enable-random-aborts", "--group-mode", "--use-group-metadata"),
        ]
        self.number = number
        self.folder = folder
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        with self._told.open("w") as out, self.log.open("w") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    @property
    def _told(self) -> Path:
        return self.folder / f"copier-{self.number}-{self.starts}.out"

    @property
    def log(self) -> Path:
        """Of the process that was started last."""
        return self.folder / f"copier-{self.number}-{self.starts}.log"

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.poll()

    @property
    def copied(self) -> int:
        """Records of transactions that this process committed, as it said last."""
        with self._told.open("rb") as told:
            told.seek(max(0, self._told.stat().st_size - _LINE))
            found = _PROGRESS.findall(told.read())
        return int(found[-1]) if found else 0

    @property
    def members(self) -> set[str]:
        """The ids that this process had in the group."""
        return set(_MEMBER.findall(self.log.read_text()))

    def kill(self) -> None:
        """kill -9"""
        self._process.kill()
        self._process.wait()


class Copiers:
    """Some that share a topic. Whoever uses them calls `look` every few moments."""

    def __init__(self, java: Java, cluster: Brokers, count: int, size: int, folder: Path) -> None:
        self._cluster = cluster
        self.all = [Copier(java, cluster.bootstrap, number, size, folder) for number in range(count)]
        self.failed: list[str] = []
        """What copiers that ended with an error said last."""
        self._dead: set[str] = set()
        self._parting = 0.0
        self._before = 0

    @property
    def copied(self) -> int:
        """Records, by all processes that there were."""
        return self._before + sum(copier.copied for copier in self.all)

    def kill(self, number: int) -> bool:
        """kill -9, and a start. False: it had ended before, by itself."""
        copier = self.all[number]
        if copier.status is not None:
            return False
        self._begin_again(copier)
        return True

    def look(self) -> bool:
        """Start those again that ended with an error; True once all have ended without one."""
        for copier in self.all:
            if copier.status:
                self.failed.append(f"{copier.log.name}: exit {copier.status}\n{copier.log.read_text()[-1500:]}")
                self._begin_again(copier)
        if time.monotonic() >= self._parting:
            ended = [copier.members for copier in self.all if copier.status is not None]
            if members := self._dead.union(*ended):
                self._part(members)
            self._parting = time.monotonic() + _PARTING
        return all(copier.status == 0 for copier in self.all)

    def end(self) -> None:
        for copier in self.all:
            copier.kill()

    def _begin_again(self, copier: Copier) -> None:
        copier.kill()
        self._dead |= copier.members
        self._before += copier.copied
        copier.start()

    def _part(self, members: set[str]) -> None:
        """They leave the group. The killed would by themselves, after the ten seconds of a session, in which nothing is copied. Again and again: a coordinator that begins
        in the midst of a rebalance has the members of the generation before it, even those that had left."""
        request = LeaveGroupRequest(group_id=GROUP, members=[MemberIdentity(member_id=each) for each in members])
        for node in self._cluster.nodes.values():
            try:
                if node.running:
                    with Talker(node.address, 2.0) as wire:
                        if wire.call(api_keys.LEAVE_GROUP, 4, request).error_code == error_codes.NONE:
                            return
            except (Gone, OSError):
                continue
