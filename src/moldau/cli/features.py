"""Levels of features, asked for and changed over a connection of its own: the Kafka client behind the other commands has no such requests."""

import socket
import struct
from typing import Any, NamedTuple

from moldau.cli.client import Cluster
from moldau.cli.errors import EXIT_USAGE, CliError
from moldau.protocol import api_keys, error_codes
from moldau.protocol.errors import ProtocolError
from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.message import Message
from moldau.protocol.messages.api_versions import ApiVersionsRequest
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from moldau.protocol.registry import response_class
from moldau.version import VERSION

_UPGRADE = 1
_API_VERSIONS, _UPDATE_FEATURES = 4, 1  # version 3 does not tell of features that may be at 0
_BYTES_MAX = 1 << 20


class Level(NamedTuple):
    """Of one feature: what is finalized (0: nothing), and the highest that the broker which was asked serves."""

    feature: str
    level: int
    highest: int


class Connection:
    """To the first of the cluster's addresses that answers. Raises CliError."""

    def __init__(self, cluster: Cluster) -> None:
        protocol = cluster.properties.get("security.protocol", "plaintext").lower()
        if protocol != "plaintext":
            raise CliError(
                f"levels of features are changed over plaintext connections only, not {protocol}: use Kafka's kafka-features.sh",
                EXIT_USAGE,
            )
        self._cluster = cluster
        self._correlation_id = 0
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        errors = []
        for address in self._cluster.bootstrap.split(","):
            host, _, port = address.strip().rpartition("://")[2].rpartition(":")
            try:
                return socket.create_connection((host.strip("[]"), int(port)), self._cluster.timeout_s)
            except (OSError, ValueError) as error:
                errors.append(f"{address}: {error}")
        raise CliError(f"no broker answers ({'; '.join(errors)})")

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def levels(self) -> list[Level]:
        """Of every feature that the broker knows."""
        asked = ApiVersionsRequest(client_software_name="moldau-cli", client_software_version=VERSION)
        answer = self._call(api_keys.API_VERSIONS, _API_VERSIONS, asked)
        finalized = {each.name: each.max_version_level for each in answer.finalized_features}
        return [
            Level(each.name, finalized.get(each.name, 0), each.max_version)
            for each in sorted(answer.supported_features, key=lambda each: str(each.name))
        ]

    def upgrade(self, levels: list[Level], *, validate_only: bool) -> None:
        """Each to its highest, or none of them."""
        updates = [
            FeatureUpdateKey(feature=each.feature, max_version_level=each.highest, upgrade_type=_UPGRADE)
            for each in levels
        ]
        request = UpdateFeaturesRequest(
            timeout_ms=round(self._cluster.timeout_s * 1000), feature_updates=updates, validate_only=validate_only
        )
        answer = self._call(api_keys.UPDATE_FEATURES, _UPDATE_FEATURES, request)
        refusals = [each for each in answer.results if each.error_code]
        refusals.sort(key=lambda each: each.error_code == error_codes.FEATURE_UPDATE_FAILED)  # that one says "another"
        if answer.error_code:
            raise CliError(f"nothing was raised: {answer.error_message or error_codes.name(answer.error_code)}")
        if refusals:
            why = refusals[0].error_message or error_codes.name(refusals[0].error_code)
            raise CliError(f"nothing was raised: {refusals[0].feature}: {why}")

    def _call(self, api_key: int, version: int, body: Message) -> Any:
        self._correlation_id += 1
        header = RequestHeader(
            request_api_key=api_key,
            request_api_version=version,
            correlation_id=self._correlation_id,
            client_id="moldau-cli",
        )
        raw = header.encode(request_header_version(api_key, version)) + body.encode(version)
        try:
            self._socket.sendall(struct.pack(">i", len(raw)) + raw)
            size = struct.unpack(">i", self._exactly(4))[0]
            if not 0 < size <= _BYTES_MAX:
                raise CliError(f"what answers at {self._cluster.bootstrap} does not speak the Kafka protocol")
            answer = self._exactly(size)
        except OSError as error:
            raise CliError(f"{self._cluster.bootstrap}: {error}") from None
        try:
            at = ResponseHeader.decode_at(answer, response_header_version(api_key, version), 0)[1]
            return response_class(api_key).decode_at(answer, version, at)[0]
        except ProtocolError:  # one that does not know the version answers in its oldest form
            raise CliError(
                f"{self._cluster.bootstrap} is too old to tell of its features, or no Kafka broker"
            ) from None

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionError("the broker hung up: it may be older than these requests")
            parts += part
        return bytes(parts)
