"""What is broken, and when: a schedule made of a seed, and the thread that keeps it.

A fault begins at a time, lasts some seconds, and is then mended. Several may hold at once, on different targets.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .recorder import Recorder

if TYPE_CHECKING:
    from support.cluster import Brokers


class Fault(NamedTuple):
    """`node` is 0 where the fault is not of one broker."""

    at: float
    seconds: float
    kind: str
    node: int


class Kind(NamedTuple):
    """How a fault begins and ends, given the cluster and the node; and the bounds of its length in seconds."""

    begin: Callable[[Any, int], None]
    end: Callable[[Any, int], None]
    seconds: tuple[float, float]
    of_broker: bool = True


def _nothing(cluster: Any, node: int) -> None:
    pass


def _launch(cluster: Any, node: int) -> None:
    """Not waited for: the next fault may hit it while it starts."""
    if not cluster.nodes[node].running:
        cluster.nodes[node].launch()


KINDS: dict[str, Kind] = {
    "kill": Kind(lambda c, n: c.kill(n), _launch, (0.1, 3)),
    "pause": Kind(lambda c, n: c.pause(n), lambda c, n: c.resume(n), (0.2, 8)),
    "restart": Kind(lambda c, n: c.stop(n), _launch, (0, 1)),
    "link-cut": Kind(lambda c, n: c.metadata_link(n).cut(), lambda c, n: c.metadata_link(n).mend(), (0.2, 6)),
    "link-stall": Kind(lambda c, n: c.metadata_link(n).stall(), lambda c, n: c.metadata_link(n).mend(), (0.2, 8)),
    "link-slow": Kind(lambda c, n: c.metadata_link(n).slow(0.1), lambda c, n: c.metadata_link(n).mend(), (1, 5)),
    "link-reply": Kind(lambda c, n: c.metadata_link(n).lose_reply(), _nothing, (0, 0)),
    "peer-cut": Kind(lambda c, n: c.peer_link(n).cut(), lambda c, n: c.peer_link(n).mend(), (0.2, 5)),
    "peer-stall": Kind(lambda c, n: c.peer_link(n).stall(), lambda c, n: c.peer_link(n).mend(), (0.2, 6)),
    "blob-503": Kind(lambda c, n: c.blobs_unavailable(n), lambda c, n: c.blobs_mended(n), (0.2, 5)),
    "blob-slow": Kind(lambda c, n: c.blobs_slow(n, 0.5), lambda c, n: c.blobs_mended(n), (1, 5)),
    "pg-restart": Kind(lambda c, _: c.postgres_stop(), lambda c, _: c.postgres_start(), (0, 3), False),
    "pg-crash": Kind(lambda c, _: c.postgres_crash(), lambda c, _: c.postgres_start(), (0, 3), False),
    "pg-failover": Kind(lambda c, _: c.fail_over(), lambda c, _: c.rejoin(), (1, 6), False),
    "pg-hang": Kind(lambda c, _: c.fail_over(hangs=True), lambda c, _: c.rejoin(), (1, 10), False),
    "pg-standby": Kind(lambda c, _: c.freeze_standby(), lambda c, _: c.thaw_standby(), (1, 8), False),
}
"""Every fault by its name."""


def schedule(seed: int, seconds: float, nodes: Sequence[int], kinds: Sequence[str]) -> list[Fault]:
    """Faults within that time, one or two at once; the same for the same arguments. Empty without kinds."""
    rng = random.Random(seed)
    faults: list[Fault] = []
    if not kinds:
        return faults
    for _ in range(1 if len(nodes) == 1 else 2):
        at = rng.uniform(0.5, 3.0)
        while at < seconds:
            name = rng.choice(sorted(kinds))
            kind = KINDS[name]
            lasts = round(min(rng.uniform(*kind.seconds), max(seconds - at, 0)), 2)
            faults.append(Fault(round(at, 2), lasts, name, rng.choice(list(nodes)) if kind.of_broker else 0))
            at += lasts + rng.uniform(0.5, 4.0)
    return sorted(faults)


class Injector:
    """Keeps a schedule in a thread of its own: `start`, then `stop`, which mends everything and waits until all brokers answer."""

    def __init__(self, cluster: Brokers, faults: Sequence[Fault], recorder: Recorder) -> None:
        self._cluster = cluster
        self._recorder = recorder
        steps = [(fault.at, 0, fault) for fault in faults] + [(fault.at + fault.seconds, 1, fault) for fault in faults]
        self._steps = sorted(steps)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults")
        self.begun: list[Fault] = []
        self.trouble: list[str] = []
        """What the cluster did that no fault explains."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        start = time.monotonic()
        try:
            self._cluster.heal()
        except RuntimeError as error:
            self.trouble.append(str(error))
        self._recorder.note("faults", f"all is mended, after {time.monotonic() - start:.2f} s")

    def _run(self) -> None:
        for at, step, fault in self._steps:
            if self._stopped.wait(max(0.0, at - self._recorder.now())):
                return
            start = self._recorder.now()
            where = f" broker {fault.node}" if fault.node else ""
            try:
                self._step(step, fault)
            except Exception as error:  # the thread goes on, and the run is no good one
                self.trouble.append(f"{fault.kind}{where}: {error!r}")
            said = f"{fault.kind}{where}" if step == 0 else f"{fault.kind}{where} is over"
            self._recorder.note("faults", said, start)

    def _step(self, step: int, fault: Fault) -> None:
        if step == 0:
            self.begun.append(fault)
            KINDS[fault.kind].begin(self._cluster, fault.node)
        else:
            KINDS[fault.kind].end(self._cluster, fault.node)
