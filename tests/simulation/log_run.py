"""One schedule of appends: producers, brokers that share their stores, bad weather; then everything heals, and the log is looked at.

Promises: offsets are contiguous; what was acknowledged is there once, at its offset; nothing is there twice; each producer's batches are in its order;
a look at the end that began after an acknowledgement knows of it; a view equals the fold of all extents, and of a snapshot and the later ones; a producer
that goes on trying gets through; no refusal of a batch that was in its place.
"""

from __future__ import annotations

from collections import Counter

from moldau.log import snapshot
from moldau.log.producer_state import ProducerStates
from moldau.log.snapshots import fold_into
from moldau.log.view import PartitionView
from moldau.metadata.memory.topic_store import MemoryTopicStore
from moldau.metadata.rows import KIND_INLINE, Extent
from moldau.records.batch import iter_headers

from .appending import Broker, Factory, shared_appender
from .producer import Batch, Producer
from .stores import Shelf, Weather, at_once
from .world import Broken, World

CHAOS_SECONDS = 4.0
HEALED_SECONDS = 60.0
"""Of virtual time, for producers to get through once all is mended."""


class Run:
    """`go` raises Broken with the seed."""

    def __init__(self, seed: int, factory: Factory = shared_appender, *, tells: bool = False) -> None:
        self.world = world = World(seed, tells=tells)
        rng = world.random
        self.factory = factory
        self.shelf = Shelf(world)
        bad = rng.choice((0.0, 0.02, 0.1, 0.3))
        self.weather = Weather(*(bad * rng.random() for _ in range(3)), slow=rng.choice((0.0, 0.0, 0.05, 0.3)))
        topic = at_once(MemoryTopicStore(self.shelf.state).create_topic(bytes(16), "t", rng.choice((1, 1, 2)), {}, 1))
        self.partitions = [row.partition_id for row in topic.partitions]
        self.lives: Counter[int] = Counter()
        self.brokers: dict[int, Broker] = {}
        self.ends: dict[int, int] = dict.fromkeys(self.partitions, 0)
        """What was acknowledged, for each partition."""
        for number in range(1, rng.choice((1, 2, 2, 3)) + 1):
            self._start(number)
        self.producers = [
            Producer(
                world,
                number,
                rng.choice(self.partitions),
                rng.randint(1, 9),
                lambda: list(self.brokers.values()),
                self._acknowledged,
                idempotent=rng.random() < 0.75,
            )
            for number in range(1, rng.choice((1, 2, 3, 4)) + 1)
        ]

    # -- what happens -----------------------------------------------------------------------------------------------------

    def go(self) -> None:
        world = self.world
        try:
            for producer in self.producers:
                world.after(world.random.uniform(0, CHAOS_SECONDS / 2), producer.wake)
            for _ in range(world.random.choice((0, 1, 3, 6))):
                world.after(world.random.uniform(0, CHAOS_SECONDS), self._harm)
            for _ in range(8):
                world.after(world.random.uniform(0, CHAOS_SECONDS), self._look)
            world.run(world.now + CHAOS_SECONDS)
            self._heal()
            world.run(world.now + HEALED_SECONDS, lambda: all(producer.done for producer in self.producers))
            for producer in self.producers:
                if not producer.done:
                    world.broken(f"producer {producer.number} does not get through")
            # what was under way arrives
            world.run(world.now + 4)
            self._check()
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"seed {world.seed}: {type(error).__name__}: {error}") from error
        finally:
            world.close()

    def _start(self, number: int) -> None:
        self.lives[number] += 1
        broker = self.brokers[number] = Broker(
            self.world, self.shelf, self.weather, number, self.lives[number], self.factory
        )

        def published(partition_id: int, end: int) -> None:
            rng = self.world.random
            for other in list(self.brokers.values()):
                if other is not broker and rng.random() < 0.7:
                    self.world.after(rng.uniform(0, 0.01), other.hint, partition_id, end)

        broker.log.published = published
        if len(self.brokers) > 1:
            for partition_id in self.partitions:
                broker.lane.call_soon(broker.log.views.load_then, partition_id, lambda view, error: None)

    def _acknowledged(self, partition_id: int, batch: Batch) -> None:
        end = batch.offset + batch.records
        if batch.offset < 0:
            self.world.broken(f"{batch.mark} is acknowledged without an offset")
        self.ends[partition_id] = max(self.ends[partition_id], end)

    def _harm(self) -> None:
        world, rng = self.world, self.world.random
        number = rng.choice(list(self.brokers))
        broker = self.brokers[number]
        what = rng.choice(("kill", "pause", "pause", "cut", "snapshot", "snapshot"))
        seconds = rng.choice((0.01, 0.3, 2.5)) * rng.random()
        world.tell("%s broker %d for %.3f s", what, number, seconds)
        if what == "kill":
            broker.lane.kill()
            world.after(seconds, lambda: self.brokers[number].alive or self._start(number))
        elif what == "pause":
            broker.lane.pause()
            world.after(seconds, broker.lane.resume)
        elif what == "cut":
            broker.log.way.cut = True
            world.after(seconds, setattr, broker.log.way, "cut", False)
        else:
            broker.take_snapshot(rng.choice(self.partitions))

    def _look(self) -> None:
        """Somebody asks for the end of a partition, and will know what was acknowledged before."""
        partition_id = self.world.random.choice(self.partitions)
        broker = self.world.random.choice(list(self.brokers.values()))
        floor = self.ends[partition_id]

        def told(end: int) -> None:
            if end < floor:
                self.world.broken(f"broker {broker.number} says {end}; {floor} was acknowledged before it was asked")

        broker.ask_end(partition_id, told)

    def _heal(self) -> None:
        self.world.tell("all is mended")
        self.weather.clear()
        for number, broker in list(self.brokers.items()):
            broker.log.way.cut = False
            broker.lane.resume()
            if not broker.alive:
                self._start(number)

    # -- what must be true ------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        for broker in self.brokers.values():
            if broker.log.refresher.went_back:
                self.world.broken(f"broker {broker.number} says that the store went back")
        for partition_id in self.partitions:
            extents = self.shelf.state.extents.get(partition_id, [])
            self._contiguous(partition_id, extents)
            self._batches(partition_id, extents)
            self._folds(partition_id, extents)

    def _contiguous(self, partition_id: int, extents: list[Extent]) -> None:
        end = 0
        for extent in extents:
            if extent.base_offset != end:
                self.world.broken(f"after {end} of partition {partition_id} comes {extent}")
            end = extent.last_offset + 1
        if end != self.shelf.state.partitions[partition_id].end_offset:
            self.world.broken(f"the extents of partition {partition_id} end at {end}, its row does not")

    def _batches(self, partition_id: int, extents: list[Extent]) -> None:
        there: dict[int, int] = {}
        for extent in extents:
            offset = extent.base_offset
            for _, header in iter_headers(self._bytes(extent)):
                mark = header.max_timestamp
                if mark in there:
                    self.world.broken(f"{mark} is at {there[mark]} and at {offset} of partition {partition_id}")
                there[mark] = offset
                offset += header.last_offset_delta + 1
            if offset != extent.last_offset + 1:
                self.world.broken(f"the batches of {extent} end at {offset}")
        mine = [producer for producer in self.producers if producer.partition_id == partition_id]
        for producer in mine:
            for batch in producer.batches:
                at = there.pop(batch.mark, -1)
                if batch.offset >= 0 and at != batch.offset:
                    self.world.broken(f"{batch.mark} was acknowledged at {batch.offset}, and is at {at}")
                batch.offset = at
            order = [batch.offset for batch in producer.batches if batch.offset >= 0]
            if producer.idempotent and order != sorted(order):
                self.world.broken(f"the batches of producer {producer.number} are at {order}")
        if there:
            self.world.broken(f"nobody sent {there} to partition {partition_id}")

    def _bytes(self, extent: Extent) -> bytes:
        if extent.kind == KIND_INLINE:
            whole = self.shelf.state.inline[extent.blob_id][1]
            return whole[extent.position : extent.position + extent.length]
        return bytes(self.shelf.blobs.read_now(extent.blob_id, extent.position, extent.length) or b"")

    def _folds(self, partition_id: int, extents: list[Extent]) -> None:
        states = ProducerStates()
        fold_into(states, extents, 0)
        wanted = snapshot.pack(states)
        state = at_once(self.shelf.log.load_partition(partition_id))
        assert state is not None
        if snapshot.pack(PartitionView(state).producers) != wanted:
            self.world.broken(f"snapshot and later extents of partition {partition_id} do not make the fold of all")
        for broker in self.brokers.values():
            view = broker.log.views.get(partition_id)
            if view is None or view.high_watermark != state.row.end_offset or view.next_offset != view.high_watermark:
                continue
            if _settled(view.producers) != _settled(states):
                self.world.broken(f"the view of broker {broker.number} is not the fold of partition {partition_id}")


def _settled(states: ProducerStates) -> dict[int, list[tuple[int, int]]]:
    """Producer to its batches; the times of what was appended here and of what was read may differ."""
    return {
        producer_id: [(batch.first_sequence, batch.base_offset) for batch in producer.batches]
        for producer_id, producer in states.by_id.items()
    }


def run(seed: int, factory: Factory = shared_appender, *, tells: bool = False) -> Run:
    """The run, which kept all promises. Raises Broken."""
    it = Run(seed, factory, tells=tells)
    try:
        it.go()
    except Broken as broken:
        for line in it.world.story[-60:]:
            broken.add_note(line)
        raise
    return it
