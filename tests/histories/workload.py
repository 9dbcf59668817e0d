"""One run: clients work while faults come and go, then all is mended, everybody catches up, and everything is read once more."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.talker import Gone, Talker

from .checks.transactions import OUTPUTS
from .consumers import ConsumerThread, Member, Reader
from .faults import Fault, Injector, schedule
from .history import Committed, Final, History
from .lookers import Looker, final
from .producers import ProducerThread, Sender
from .recorder import Recorder
from .transactional import (
    INPUT,
    OUTPUT,
    TIMEOUT_MS,
    Processor,
    TransactionLooker,
    TransactionReader,
    Writer,
    final_of,
)

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
    transactions: bool = False
    """Clients with transactions, and no others."""
    processors: int = 2
    writers: int = 2


@dataclass
class Outcome:
    """What happened. `trouble` is what no check of the history sees, and is wrong all the same."""

    history: History
    faults: list[Fault]
    trouble: list[str]


def run(cluster: Brokers, plan: Plan) -> Outcome:
    """Blocks for `plan.seconds`, and as long as it takes to mend and read all."""
    recorder = Recorder()
    if plan.transactions:
        return _run_transactions(cluster, plan, recorder)
    _create(cluster, plan, recorder, TOPIC)
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


def _run_transactions(cluster: Brokers, plan: Plan, recorder: Recorder) -> Outcome:
    """Orders are made bills of, by members of a group; others write bills as well; some read."""
    _create(cluster, plan, recorder, INPUT, OUTPUT)
    seeds = random.Random(plan.seed)

    def seed() -> int:
        return seeds.randrange(1 << 30)

    def addresses() -> dict[int, str]:
        return {node_id: node.address for node_id, node in cluster.nodes.items()}

    common = (recorder, cluster.bootstrap)
    workers = [
        *[
            ProducerThread(
                f"i{n}",
                *common,
                INPUT,
                plan.partitions,
                idempotent=True,
                per_second=plan.per_second,
                seed=seed(),
            )
            for n in range(plan.idempotent)
        ],
        *[Processor(f"t{n}", *common, plan.partitions, seed(), group=GROUP) for n in range(plan.processors)],
        *[Writer(f"w{n}", *common, plan.partitions, seed()) for n in range(plan.writers)],
        *[TransactionLooker(f"l{n}", recorder, addresses, plan.partitions, seed()) for n in range(plan.lookers)],
    ]
    readers = [TransactionReader(name, *common, plan.partitions, seed()) for name in ("r0", "u0")]
    injector = Injector(cluster, schedule(plan.seed, plan.seconds, sorted(cluster.nodes), plan.faults), recorder)
    for thread in [*workers, *readers]:
        thread.start()
    injector.start()
    time.sleep(plan.seconds)
    injector.stop()
    recorder.stop.set()
    for worker in workers:
        worker.join()
    finals = _transactional_finals(cluster, plan, recorder)
    recorder.history += finals
    ends = {each.partition: each.records[-1].offset + 1 for each in finals if each.records}
    for reader in readers:
        mine = {p: end for p, end in ends.items() if p >= OUTPUTS} if reader.name == "r0" else {}
        _catch_up(recorder, [reader], mine)
        reader.leave.set()
        reader.join()
    return Outcome(recorder.history, injector.begun, [*injector.trouble, *recorder.trouble])


def _transactional_finals(cluster: Brokers, plan: Plan, recorder: Recorder) -> list[Final]:
    """Once what was left open has run out of time: by every broker, what is committed last; what the group has committed, too."""
    deadline = time.monotonic() + TIMEOUT_MS / 1000 + QUIET_SECONDS
    partitions = [*range(plan.partitions), *range(OUTPUTS, OUTPUTS + plan.partitions)]
    found: list[Final] = []
    for partition in partitions:
        for node in cluster.nodes.values():
            try:
                everything = final_of(recorder, node.address, partition, committed=False)
                while (mine := final_of(recorder, node.address, partition, committed=True)).high_watermark < (
                    everything.high_watermark
                ) and time.monotonic() < deadline:
                    time.sleep(0.2)
                found += [final_of(recorder, node.address, partition, committed=False), mine]
            except (Gone, OSError, RuntimeError) as error:
                recorder.note("final", str(error))
        if not any(each.partition == partition for each in found):
            recorder.troubled("final", f"nobody gives partition {partition}")
    for partition in range(plan.partitions):
        recorder.add(_committed_last(cluster, recorder, partition))
    return sorted(found, key=lambda final: not final.process.startswith("u"))


def _committed_last(cluster: Brokers, recorder: Recorder, partition: int) -> Committed:
    deadline = time.monotonic() + QUIET_SECONDS
    while True:
        for node in cluster.nodes.values():
            start = recorder.now()
            with Talker(node.address) as wire:
                answer = wire.fetch_offset(GROUP, INPUT, partition)
            if answer.error_code == 0 and answer.topics[0].partitions[0].error_code == 0:
                offset = max(answer.topics[0].partitions[0].committed_offset, 0)
                return Committed("final", start, recorder.now(), GROUP, [partition], {partition: offset})
        assert time.monotonic() < deadline, "no broker tells the group's offsets"
        time.sleep(0.1)


def _create(cluster: Brokers, plan: Plan, recorder: Recorder, *topics: str) -> None:
    """The topics, and wait until every broker has heard of them."""
    with Talker(cluster.address(1)) as wire:
        for topic in topics:
            error = wire.create_topic(topic, plan.partitions)
            assert error == 0, f"creating the topic was refused with error {error}"
    for node_id, node in cluster.nodes.items():
        deadline = time.monotonic() + HEARD_SECONDS
        while True:
            with Talker(node.address) as wire:
                if set(topics) <= set(wire.topics()):
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
