"""One broker of the cluster, as the others know it."""

from __future__ import annotations

import json


class Member:
    """`endpoints` is what clients are told, by listener's name: (host, port). A restart is another `incarnation`."""

    __slots__ = ("draining", "endpoints", "incarnation", "node_id", "rack", "release")

    def __init__(
        self,
        node_id: int,
        incarnation: int,
        rack: str | None,
        endpoints: dict[str, tuple[str, int]],
        release: str,
        draining: bool = False,
    ) -> None:
        self.node_id = node_id
        self.incarnation = incarnation
        self.rack = rack
        self.endpoints = endpoints
        self.release = release
        self.draining = draining

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Member) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash((self.node_id, self.incarnation))

    def __repr__(self) -> str:
        return f"Member({self.node_id}:{self.incarnation}{' draining' if self.draining else ''})"

    @property
    def owner(self) -> str:
        """How leases name it."""
        return f"{self.node_id}:{self.incarnation}"

    def endpoint(self, listener: str) -> tuple[str, int] | None:
        """Of that listener; None when the broker has none of that name."""
        return self.endpoints.get(listener)


def pack_endpoints(endpoints: dict[str, tuple[str, int]]) -> str:
    """For the broker's row: {"PLAINTEXT": ["host", 9092]} as JSON."""
    return json.dumps({name: list(where) for name, where in endpoints.items()}, sort_keys=True)


def unpack_endpoints(packed: str) -> dict[str, tuple[str, int]]:
    """Raises ValueError. An empty text is a broker without listeners."""
    if not packed:
        return {}
    return {str(name): (str(where[0]), int(where[1])) for name, where in json.loads(packed).items()}
