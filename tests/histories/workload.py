"""One run: clients work while faults come and go, then all is mended, everybody catches up, and everything is read once more."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.talker import Gone, Talker

from .consumers import ConsumerThread, Member, Reader
from .faults import Fault, Injector, schedule
from .history import Final, History
from .lookers import Looker, final
from .producers import ProducerThread, Sender
from .recorder import Recorder

if TYPE_CHECKING:
    from support.cluster import Brokers

TOPIC = "history"
GROUP = "history-group"
QUIET_SECONDS = 60.0
HEARD_SECONDS = 3.0
"""A broker that has not heard of a new topic by then is started again, and that is trouble."""


@dataclass
class Plan:
    """How much of everything."""

    seed: int = 0
    seconds: float = 20.0
    faults: list[str] = field(default_factory=list)
    partitions: int = 4
    idempotent: int = 2
    plain: int = 1
    senders: int = 1
    readers: int = 1
    members: int = 2
    lookers: int = 1
    per_second: float = 60.0
    """Records of each producer."""


@dataclass
class Outcome:
    """What happened. `trouble` is what no check of the history sees, and is wrong all the same."""

    history: History
    faults: list[Fault]
    trouble: list[str]


def run(cluster: Brokers, plan: Plan) -> Outcome:
    """Blocks for `plan.seconds`, and as long as it takes to mend and read all."""
    recorder = Recorder()
    _create(cluster, plan, recorder)
    producers, readers, members, others = _clients(cluster, plan, recorder)
    injector = Injector(cluster, schedule(plan.seed, plan.seconds, sorted(cluster.nodes), plan.faults), recorder)
    threads = [*producers, *readers, *members, *others]
    for thread in threads:
        thread.start()
    injector.start()
    time.sleep(plan.seconds)
    injector.stop()
    recorder.stop.set()
    for thread in [*producers, *others]:
        thread.join()
    finals = _finals(cluster, plan, recorder)
    recorder.history += finals
    _catch_up(recorder, readers, {each.partition: each.high_watermark for each in finals})
    for consumer in [*readers, *members]:
        consumer.leave.set()
        consumer.join()
    return Outcome(recorder.history, injector.begun, [*injector.trouble, *recorder.trouble])


def _create(cluster: Brokers, plan: Plan, recorder: Recorder) -> None:
    """The topic, and wait until every broker has heard of it."""
    with Talker(cluster.address(1)) as wire:
        error = wire.create_topic(TOPIC, plan.partitions)
        assert error == 0, f"creating the topic was refused with error {error}"
    for node_id, node in cluster.nodes.items():
        deadline = time.monotonic() + HEARD_SECONDS
        while True:
            with Talker(node.address) as wire:
                if TOPIC in wire.topics():
                    break
            if time.monotonic() > deadline:
                recorder.troubled(f"broker {node_id}", f"has not heard of a topic in {HEARD_SECONDS} s")
                cluster.restart(node_id)
                break
            time.sleep(0.02)
    cluster.wait_ready()


def _clients(
    cluster: Brokers, plan: Plan, recorder: Recorder
) -> tuple[list[ProducerThread], list[Reader], list[Member], list[Looker | Sender]]:
    seeds = random.Random(plan.seed)

    def seed() -> int:
        return seeds.randrange(1 << 30)

    common = (recorder, cluster.bootstrap, TOPIC, plan.partitions)
    kinds = [("i", True)] * plan.idempotent + [("p", False)] * plan.plain
    producers = [
        ProducerThread(f"{kind}{n}", *common, idempotent=idempotent, per_second=plan.per_second, seed=seed())
        for n, (kind, idempotent) in enumerate(kinds)
    ]
    readers = [Reader(f"r{n}", *common, seed()) for n in range(plan.readers)]
    members = [Member(f"m{n}", *common, seed(), group=GROUP) for n in range(plan.members)]

    def addresses() -> dict[int, str]:
        return {node_id: node.address for node_id, node in cluster.nodes.items()}

    lookers = [Looker(f"l{n}", recorder, addresses, TOPIC, plan.partitions, GROUP, seed()) for n in range(plan.lookers)]
    senders = [
        Sender(f"s{n}", recorder, addresses, TOPIC, plan.partitions, per_second=plan.per_second / 2, seed=seed())
        for n in range(plan.senders)
    ]
    return producers, readers, members, [*lookers, *senders]


def _finals(cluster: Brokers, plan: Plan, recorder: Recorder) -> list[Final]:
    """By every broker that leads or is willing."""
    found: list[Final] = []
    for partition in range(plan.partitions):
        refusals: list[str] = []
        before = len(found)
        for node in cluster.nodes.values():
            try:
                found.append(final(recorder, node.address, TOPIC, partition))
            except (Gone, OSError, RuntimeError) as error:
                refusals.append(str(error))
        if len(found) == before:
            recorder.troubled("final", f"nobody gives partition {partition}: {refusals}")
    return found


def _catch_up(recorder: Recorder, readers: list[Reader], ends: dict[int, int]) -> None:
    """Readers come to the end of the log by themselves."""
    deadline = time.monotonic() + QUIET_SECONDS
    for reader in readers:
        while behind := _behind(reader, ends):
            if not reader.is_alive() or time.monotonic() > deadline:
                recorder.troubled(reader.name, f"did not come to the end: {behind} of {ends}")
                break
            time.sleep(0.05)


def _behind(consumer: ConsumerThread, ends: dict[int, int]) -> dict[int, int]:
    return {p: consumer.positions.get(p, 0) for p, end in ends.items() if consumer.positions.get(p, 0) < end}
