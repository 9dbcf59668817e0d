"""Stand-ins for the Kafka client's message."""


class FakeRecord:
    """A record with the client's methods."""

    def __init__(
        self,
        topic: str = "t",
        partition: int = 0,
        offset: int = 0,
        timestamp: tuple[int, int] = (0, -1),
        key: bytes | None = None,
        value: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> None:
        self._fields = (topic, partition, offset, timestamp, key, value, headers)

    def topic(self) -> str:
        return self._fields[0]

    def partition(self) -> int:
        return self._fields[1]

    def offset(self) -> int:
        return self._fields[2]

    def timestamp(self) -> tuple[int, int]:
        return self._fields[3]

    def key(self) -> bytes | None:
        return self._fields[4]

    def value(self) -> bytes | None:
        return self._fields[5]

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self._fields[6]
