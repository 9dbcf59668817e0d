"""A producer as clients are: idempotent with some batches in flight, or one that sends each batch once. It lives in the world, without a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader
from moldau.records.builder import build_batch
from moldau.records.record import Record

if TYPE_CHECKING:
    from .appending import Broker
    from .world import World

IN_FLIGHT = 3
TIMEOUT_SECONDS = 1.5
_AGAIN = (error_codes.KAFKA_STORAGE_ERROR, error_codes.NOT_LEADER_OR_FOLLOWER)


class Batch:
    """`mark` names it for ever: it is the batch's timestamp too."""

    __slots__ = ("data", "header", "mark", "offset", "records", "sequence", "tries")

    def __init__(self, mark: int, records: int, producer_id: int, sequence: int, size: int) -> None:
        self.mark = mark
        self.records = records
        self.sequence = sequence
        self.offset = -1
        self.tries = 0
        value = b"x" * size
        self.data = build_batch(
            [Record(n, mark, None, value) for n in range(records)],
            producer_id=producer_id,
            producer_epoch=0 if producer_id >= 0 else -1,
            base_sequence=sequence,
        )
        self.header = BatchHeader(self.data)


class Producer:
    """Appends `count` batches to one partition. `acknowledged` is called with each batch that is."""

    def __init__(
        self,
        world: World,
        number: int,
        partition_id: int,
        count: int,
        brokers: Callable[[], list[Broker]],
        acknowledged: Callable[[int, Batch], None],
        *,
        idempotent: bool,
    ) -> None:
        self.world = world
        self.number = number
        self.partition_id = partition_id
        self.idempotent = idempotent
        self.batches: list[Batch] = []
        self._left = count
        self._brokers = brokers
        self._acknowledged = acknowledged
        self._unacknowledged: list[Batch] = []
        self._sequence = 0
        self._asked: dict[int, Batch] = {}
        """Requests that are neither answered nor timed out."""
        self._request = 0
        self._failed = False
        self._broker: Broker | None = None
        self._wakes = False
        """Its first batch in the partition failed, and a later one that was in flight with it was taken: a producer that the partition does not know
        may begin anywhere (`moldau.log.producer_state`). Clients call the refusal of the first one fatal; nothing is lost in silence.
        """

    @property
    def done(self) -> bool:
        return not self._left and not self._unacknowledged

    def wake(self) -> None:
        """Send what may be sent; called by time and by answers."""
        self._wakes = False
        if self._broker is not None and not self._broker.alive:
            # the connection is gone, and all that was asked on it
            self._failed = self.idempotent
            self._broker = None
            for request in list(self._asked):
                self._told(request, -1, -1)
        if self._failed:
            if self._asked:
                return  # first all of them end
            self._failed = False
            self._broker = None
            for batch in self._unacknowledged:
                self._send(batch)
        while self._left and len(self._unacknowledged) < IN_FLIGHT and not self._failed:
            self._left -= 1
            self._new()
            if self.world.random.random() < 0.5:
                break
        if not self.done:
            self._soon(self.world.random.uniform(0.001, 0.3))

    def _soon(self, seconds: float) -> None:
        if not self._wakes:
            self._wakes = True
            self.world.after(seconds, self.wake)

    def _new(self) -> None:
        rng = self.world.random
        records = rng.choice((1, 1, 2, 5))
        batch = Batch(
            self.number * 10_000 + len(self.batches),
            records,
            100 + self.number if self.idempotent else -1,
            self._sequence if self.idempotent else -1,
            rng.choice((1, 1, 30, 200)),
        )
        self._sequence += records
        self.batches.append(batch)
        self._unacknowledged.append(batch)
        self._send(batch)

    def _send(self, batch: Batch) -> None:
        world = self.world
        if self._broker is None:
            self._broker = world.random.choice(self._brokers())
        broker = self._broker
        self._request += 1
        request = self._request
        self._asked[request] = batch
        batch.tries += 1
        world.tell("p%d sends %d to broker %d", self.number, batch.mark, broker.number)

        def told(error: int, offset: int) -> None:
            if broker.alive:
                world.after(world.random.uniform(0, 0.002), self._told, request, error, offset)

        # one connection: requests to one broker arrive in their order
        world.after(0.001, broker.produce, self.partition_id, batch.data, batch.header, told)
        world.after(TIMEOUT_SECONDS, self._told, request, -1, -1)

    def _told(self, request: int, error: int, offset: int) -> None:
        batch = self._asked.pop(request, None)
        if batch is None:
            return
        world = self.world
        world.tell("p%d is told of %d: error %d, offset %d", self.number, batch.mark, error, offset)
        if error == 0:
            self._unacknowledged.remove(batch)
            batch.offset = offset
            self._acknowledged(self.partition_id, batch)
        elif not self.idempotent:
            self._unacknowledged.remove(batch)
        elif error in _AGAIN or error == -1:
            self._failed = True
        elif error == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER and (
            self._failed or batch is not self._unacknowledged[0]
        ):
            self._failed = True  # the one before it failed
        else:
            world.broken(f"producer {self.number}: {batch.mark} was refused with error {error}")
        self._soon(0.0 if not self._failed else world.random.uniform(0.001, 0.1))
