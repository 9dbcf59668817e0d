"""Where reading ends: which records still count, and when every partition has come to its stop. Pure."""

Partition = tuple[str, int]


class Stops:
    """The stop of each partition being read.

    A stop is the offset of the first record that no longer counts, or None where reading goes on. With
    `end_is_enough` the end of a partition is a stop too (``--exit-at-end``): the last records before an open or
    an ended transaction's marker may never be seen.
    """

    __slots__ = ("_next", "_stops", "end_is_enough", "reached", "time_ms")

    def __init__(self, end_is_enough: bool = False, time_ms: int | None = None) -> None:
        self.end_is_enough = end_is_enough
        self.time_ms = time_ms
        self.reached: set[Partition] = set()
        self._stops: dict[Partition, int | None] = {}
        self._next: dict[Partition, int] = {}

    def follow(self, partition: Partition, stop: int | None, next_offset: int | None = None) -> None:
        """Read `partition` up to `stop`; `next_offset` is where reading begins, as far as that is known."""
        self._stops[partition] = stop
        if next_offset is not None:
            self._next[partition] = next_offset
        self._settle(partition)

    def forget(self, partition: Partition) -> None:
        """Another member of the group reads `partition` from now on."""
        self._stops.pop(partition, None)
        self._next.pop(partition, None)
        self.reached.discard(partition)

    def admits(self, partition: Partition, offset: int, timestamp_ms: int) -> bool:
        """Whether a record that arrived counts. The last one that does completes its partition."""
        if partition in self.reached:
            return False
        stop = self._stops.get(partition)
        too_late = self.time_ms is not None and timestamp_ms >= self.time_ms
        if too_late or (stop is not None and offset >= stop):
            self.reached.add(partition)
            return False
        self._next[partition] = offset + 1
        self._settle(partition)
        return True

    def at_end(self, partition: Partition, offset: int) -> None:
        """There is nothing at `offset` yet."""
        self._next[partition] = offset
        if self.end_is_enough:
            self.reached.add(partition)
        else:
            self._settle(partition)

    def _settle(self, partition: Partition) -> None:
        stop = self._stops.get(partition)
        if stop is not None and self._next.get(partition, -1) >= stop:
            self.reached.add(partition)

    def partitions(self) -> list[Partition]:
        """The partitions being read, whether at their stop or not."""
        return sorted(self._stops)

    def all_reached(self) -> bool:
        """Whether nothing is left to read."""
        return self.reached >= self._stops.keys()
