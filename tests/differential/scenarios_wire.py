"""ApiVersions, and what is no request at all: nothing of it may disturb another connection."""

from __future__ import annotations

import struct

from conversation import Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages.api_versions import ApiVersionsRequest
from moldau.protocol.messages.metadata import MetadataRequest

# a client that Apache Kafka 4.3 serves may ask these: key and its newest version
ASKED = {
    k.PRODUCE: 13,
    k.FETCH: 17,
    k.LIST_OFFSETS: 10,
    k.METADATA: 13,
    k.OFFSET_COMMIT: 9,
    k.OFFSET_FETCH: 9,
    k.FIND_COORDINATOR: 6,
    k.JOIN_GROUP: 9,
    k.HEARTBEAT: 4,
    k.LEAVE_GROUP: 5,
    k.SYNC_GROUP: 5,
    k.DESCRIBE_GROUPS: 6,
    k.LIST_GROUPS: 5,
    k.CREATE_TOPICS: 7,
    k.DELETE_TOPICS: 6,
    k.DELETE_RECORDS: 2,
    k.INIT_PRODUCER_ID: 5,
    k.OFFSET_FOR_LEADER_EPOCH: 4,
    k.DESCRIBE_CONFIGS: 4,
    k.ALTER_CONFIGS: 2,
    k.DESCRIBE_LOG_DIRS: 4,
    k.CREATE_PARTITIONS: 3,
    k.DELETE_GROUPS: 2,
    k.ELECT_LEADERS: 2,
    k.INCREMENTAL_ALTER_CONFIGS: 1,
    k.OFFSET_DELETE: 0,
    k.DESCRIBE_QUORUM: 2,
    k.UPDATE_FEATURES: 1,
    k.DESCRIBE_CLUSTER: 2,
    k.DESCRIBE_PRODUCERS: 0,
    k.LIST_CONFIG_RESOURCES: 1,
    k.DESCRIBE_TOPIC_PARTITIONS: 0,
}


@scenario(k.API_VERSIONS)
def api_versions(c: Conversation, version: int) -> None:
    client = {"client_software_name": "differential", "client_software_version": "1.0"} if version >= 3 else {}
    c.ask("plain", k.API_VERSIONS, version, ApiVersionsRequest(**client))
    c.ask("again on the same connection", k.API_VERSIONS, 0, ApiVersionsRequest())
    if version >= 3:
        for label, name, release in (
            ("name with a space", "a b", "1"),
            ("empty name", "", "1"),
            ("empty version", "a", ""),
            ("dash first", "-a", "1"),
            ("dash last", "a-", "1"),
            ("dot last", "a", "1."),
            ("an underscore", "a_b", "1"),
            ("not ASCII", "kafkä", "1"),
            ("one letter", "a", "1"),
            ("dots and dashes", "a.b-c.1", "1.0-SNAPSHOT.2"),
            ("two names in a row", "a--b", "1..2"),
        ):
            body = ApiVersionsRequest(client_software_name=name, client_software_version=release)
            answer = c.wire(label)
            answer.send(k.API_VERSIONS, version, body)
            c.note(label, {"error_code": answer.receive().error_code})
        c.ask("bytes that are no request", k.API_VERSIONS, version, b"\x7f\x7f\x7f", on="garbage")
        # a field that nobody knows yet
        tagged = bytes(ApiVersionsRequest(**client).encode(version))[:-1] + b"\x01\x63\x03abc"
        c.wire("tagged").send(k.API_VERSIONS, version, tagged)
        c.note("an unknown tagged field", {"error_code": c.wire("tagged").receive().error_code})


@scenario(k.API_VERSIONS)
def no_requests(c: Conversation, version: int) -> None:
    """Bytes that no broker can answer."""
    if version:
        return
    for label, key, asked in (
        ("unknown API", 999, 0),
        ("negative API", -5, 0),
        ("an API of controllers", 52, 0),
        ("Fetch 3", k.FETCH, 3),
        ("Fetch 99", k.FETCH, 99),
        ("Metadata 99", k.METADATA, 99),
        ("Produce -1", k.PRODUCE, -1),
        ("Produce 2", k.PRODUCE, 2),
    ):
        c.wire(label).send_frame(
            key.to_bytes(2, "big", signed=True) + asked.to_bytes(2, "big", signed=True) + bytes(60)
        )
        c.note(label, str(c.wire(label).receive_frame()))
    for label, raw, size in (
        ("cut Metadata", bytes.fromhex("0003 0001 00000007 0001 41 0000 0005 0001"), None),
        ("a frame of one byte", b"\0", None),
        ("a header cut short", b"\0\3\0\1\0\0", None),
        ("a client id that is not there", bytes.fromhex("0003 0001 00000007 7fff 41"), None),
        ("frame of size 0", b"", 0),
        ("negative size", b"", -2),
        ("size above the limit", b"", 2**31 - 1),
        ("a web browser", b"GET / HTTP/1.1\r\n\r\n", 0x47455420),
    ):
        c.wire(label).send_frame(raw, size)
        c.note(label, str(c.wire(label).receive_frame()))
    # without a client id, and with a body that ends before the frame does
    c.wire("null client").send_frame(bytes.fromhex("0012 0000 00000007 ffff"))
    c.note("a null client id", c.wire("null client").receive_frame()[:6].hex())
    c.wire("negative").send_frame(bytes.fromhex("0012 0000 00000007 fffe"))
    c.note("a client id of length -2", c.wire("negative").receive_frame()[:6].hex())
    c.wire("longer").send(k.METADATA, 4, bytes(MetadataRequest(topics=[]).encode(4)) + b"more")
    c.note("bytes after the request", type(c.wire("longer").receive()).__name__)
    for label, above in (("ApiVersions 99", 99), ("ApiVersions -1", -1)):
        c.ask(label, k.API_VERSIONS, above, bytes(4), answered_as=0, on=label)


@scenario(k.API_VERSIONS)
def bodies(c: Conversation, version: int) -> None:
    """Requests of known APIs whose bodies do not decode."""
    if version:
        return
    for key, newest in ASKED.items():
        found = {}
        for label, body in (
            ("nothing", b""),
            ("ones", b"\x01" * 3),
            ("long varints", b"\xff" * 40),
            ("huge counts", struct.pack(">i", 2**31 - 1) * 12),
        ):
            on = f"{key} {label}"
            c.wire(on).send(key, newest, body)
            found[label] = "answered" if isinstance(c.wire(on).receive_frame(), bytes) else "closed"
            c.wire(on).close()
        c.note(k.name(key), found)
