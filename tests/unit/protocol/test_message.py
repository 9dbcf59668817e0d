"""What all generated messages share: versions, defaults, null, tagged fields, refusal of malformed bytes."""

from __future__ import annotations

import tracemalloc

import pytest

from moldau.protocol.errors import DecodeError, EncodeError, ProtocolError, UnsupportedVersionError
from moldau.protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from moldau.protocol.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatResponse
from moldau.protocol.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    LeaderIdAndEpoch,
    PartitionData,
    ReplicaState,
)
from moldau.protocol.messages.heartbeat import HeartbeatRequest
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from moldau.protocol.messages.offset_delete import OffsetDeleteRequest
from moldau.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from moldau.protocol.messages.sasl_handshake import SaslHandshakeRequest

TOPIC_ID = bytes(range(16))


def test_versions_of_a_message() -> None:
    assert (ProduceRequest.API_KEY, ProduceRequest.MIN_VERSION, ProduceRequest.MAX_VERSION) == (0, 3, 13)
    assert ProduceRequest.FLEXIBLE_FROM == 9
    assert OffsetDeleteRequest.FLEXIBLE_FROM == 0x7FFF


def test_unstable_version_is_readable_but_not_the_maximum() -> None:
    assert InitProducerIdRequest.LATEST_UNSTABLE
    assert InitProducerIdRequest.MAX_VERSION == 5
    message = InitProducerIdRequest(transaction_timeout_ms=1, enable2_pc=True)
    assert InitProducerIdRequest.decode(message.encode(6), 6) == message


@pytest.mark.parametrize("version", [-1, 2, 14, 999])
def test_unknown_version(version: int) -> None:
    with pytest.raises(UnsupportedVersionError, match="expected 3 to 13"):
        ProduceRequest.decode(b"", version)
    with pytest.raises(UnsupportedVersionError, match="expected 3 to 13"):
        ProduceRequest().encode(version)
    assert issubclass(UnsupportedVersionError, ProtocolError)


def test_lists_are_not_shared_between_objects() -> None:
    one, other = FetchRequest(), FetchRequest()
    one.topics.append(FetchTopic())
    assert other.topics == []
    assert FetchRequest().topics == []


def test_equality_and_repr() -> None:
    assert HeartbeatRequest(group_id="g") == HeartbeatRequest(group_id="g")
    assert HeartbeatRequest(group_id="g") != HeartbeatRequest(group_id="h")
    assert HeartbeatRequest() != SaslHandshakeRequest()
    assert repr(SaslHandshakeRequest(mechanism="PLAIN")) == "SaslHandshakeRequest(mechanism='PLAIN')"
    with pytest.raises(TypeError):
        hash(HeartbeatRequest())


def test_known_bytes_of_an_old_version() -> None:
    message = HeartbeatRequest(group_id="g", generation_id=3, member_id="m")
    assert message.encode(0) == b"\x00\x01g\x00\x00\x00\x03\x00\x01m"


def test_known_bytes_of_a_flexible_version() -> None:
    message = HeartbeatRequest(group_id="g", generation_id=3, member_id="m")
    assert message.encode(4) == b"\x02g\x00\x00\x00\x03\x02m\x00\x00"


def test_null_empty_and_absent_arrays_differ() -> None:
    assert MetadataRequest(topics=None).encode(1) == b"\xff\xff\xff\xff"
    assert MetadataRequest().encode(1) == b"\x00\x00\x00\x00"
    assert MetadataRequest.decode(b"\xff\xff\xff\xff", 1).topics is None
    assert MetadataRequest.decode(b"\x00\x00\x00\x00", 1).topics == []
    assert MetadataRequest(topics=None).encode(12) == b"\x00\x01\x00\x00"
    assert MetadataRequest().encode(12) == b"\x01\x01\x00\x00"


def test_null_where_a_version_has_no_null() -> None:
    with pytest.raises(EncodeError, match=r"MetadataRequest\.topics is None"):
        MetadataRequest(topics=None).encode(0)
    with pytest.raises(DecodeError, match="length -1"):
        MetadataRequest.decode(b"\xff\xff\xff\xff", 0)
    with pytest.raises(DecodeError, match=r"MetadataRequestTopic\.name"):
        MetadataRequest.decode(MetadataRequest(topics=[MetadataRequestTopic(name=None)]).encode(10), 9)


def test_value_a_version_cannot_carry() -> None:
    """As in Kafka: refused, unless the definition says that the field may be dropped."""
    with pytest.raises(EncodeError, match=r"HeartbeatRequest.group_instance_id is 'i', which version 2 cannot carry"):
        HeartbeatRequest(group_instance_id="i").encode(2)
    request = FetchRequest(replica_state=ReplicaState(replica_id=1))
    with pytest.raises(EncodeError, match=r"FetchRequest\.replica_state"):
        request.encode(14)
    dropped = FetchRequest(topics=[FetchTopic(topic="t", partitions=[FetchPartition(log_start_offset=9)])]).encode(4)
    assert FetchRequest.decode(dropped, 4).topics[0].partitions[0].log_start_offset == -1


@pytest.mark.parametrize(
    "message",
    [
        HeartbeatRequest(generation_id=1 << 31),
        HeartbeatRequest(group_id="x" * 40_000),
        HeartbeatRequest(group_id=None),  # type: ignore[arg-type]
        HeartbeatRequest(group_id="\ud800"),
        FetchRequest(topics=[FetchTopic(topic_id=b"short", partitions=[1])]),  # type: ignore[list-item]
    ],
    ids=["too big", "string too long", "null", "lone surrogate", "wrong type"],
)
@pytest.mark.parametrize("version", [0, 4])
def test_unwritable_values(message: HeartbeatRequest | FetchRequest, version: int) -> None:
    with pytest.raises(EncodeError):
        message.encode(13 if isinstance(message, FetchRequest) else version)


def test_strings_around_the_one_byte_length() -> None:
    for length in (0, 1, 126, 127, 128, 16_382, 16_383, 16_384, 32_767):
        message = HeartbeatRequest(group_id="a" * length)
        for version in (0, 4):
            assert HeartbeatRequest.decode(message.encode(version), version) == message


def test_too_long_compact_string() -> None:
    with pytest.raises(DecodeError, match="string of 32768 bytes"):
        HeartbeatRequest.decode(b"\x81\x80\x02" + b"a" * 40_000, 4)


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(DecodeError, match=r"HeartbeatRequest version 0: b'\\xff' is not UTF-8"):
        HeartbeatRequest.decode(b"\x00\x01\xff" + bytes(8), 0)


def test_negative_length() -> None:
    with pytest.raises(DecodeError, match="length -2"):
        HeartbeatRequest.decode(b"\xff\xfe" + bytes(8), 0)
    with pytest.raises(DecodeError, match="length -2"):
        MetadataRequest.decode(b"\xff\xff\xff\xfe", 1)
    with pytest.raises(DecodeError, match="length -3"):
        ProduceRequest.decode(b"\xff\xfd" + bytes(20), 3)


def test_bytes_end_inside_a_string_at_the_very_end() -> None:
    """A slice that is too long is short without a word; the end of the message must notice."""
    with pytest.raises(DecodeError, match="cut short"):
        SaslHandshakeRequest.decode(b"\x00\x05PLAI", 0)
    with pytest.raises(DecodeError, match="cut short"):
        ProduceRequest.decode(b"\xff\xff\x00\x01" + bytes(4) + b"\0\0\0\1\0\1t\0\0\0\1\0\0\0\0\0\0\0\x09abc", 3)


@pytest.mark.parametrize("version", [0, 4, 9, 12])
def test_huge_count_costs_nothing(version: int) -> None:
    huge = b"\xff\xff\xff\xff\x07" if version >= 9 else b"\x7f\xff\xff\xff"
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=r"MetadataRequest.topics: 214748364\d elements"):
            MetadataRequest.decode(huge + bytes(100), version)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_varint_without_end() -> None:
    with pytest.raises(DecodeError, match="unsigned varint"):
        MetadataRequest.decode(b"\xff" * 20, 9)
    with pytest.raises(DecodeError, match="unsigned varint"):
        MetadataRequest.decode(b"\xff\xff\xff\xff\x0f" * 20, 9)


def test_unknown_tagged_fields_are_skipped() -> None:
    plain = SaslHandshakeRequest  # never flexible: has none
    assert plain.FLEXIBLE_FROM == 0x7FFF
    raw = HeartbeatRequest(group_id="g", member_id="m").encode(4)
    assert raw.endswith(b"\x00")
    tagged = raw[:-1] + b"\x02" + b"\x00\x03abc" + b"\x80\x01\x00"
    message, end = HeartbeatRequest.decode_at(tagged + b"rest", 4, 0)
    assert message == HeartbeatRequest(group_id="g", member_id="m")
    assert end == len(tagged)
    assert message.encode(4) == raw
    for cut in range(len(raw), len(tagged)):
        with pytest.raises(DecodeError):
            HeartbeatRequest.decode(tagged[:cut], 4)


def test_unknown_tags_beside_known_ones() -> None:
    request = FetchRequest(replica_state=ReplicaState(replica_id=1, replica_epoch=2))
    raw = request.encode(15)
    tags = raw.index(b"\x01\x01\x0d")  # one tag: number 1, 13 bytes
    more = raw[:tags] + b"\x02" + raw[tags + 1 :] + b"\x09\x02zz"
    assert FetchRequest.decode(more, 15) == request


def test_tagged_field_of_another_size_than_it_says() -> None:
    raw = FetchRequest(replica_state=ReplicaState(replica_id=1, replica_epoch=2)).encode(15)
    with pytest.raises(DecodeError, match="tagged field 1 ends at"):
        FetchRequest.decode(raw.replace(b"\x01\x01\x0d", b"\x01\x01\x0e") + b"\0", 15)


def test_tagged_fields_only_where_they_exist() -> None:
    """Newer tagged fields never appear in older versions; defaults are left out."""
    data = PartitionData(current_leader=LeaderIdAndEpoch(leader_id=1, leader_epoch=2), records=b"")
    response = FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=[data])])
    assert b"\x01\x01\x09" in response.encode(12)
    assert (
        FetchResponse.decode(response.encode(12), 12).responses[0].partitions[0].current_leader == data.current_leader
    )
    data.current_leader = LeaderIdAndEpoch()
    without = response.encode(12)
    data.current_leader = None
    assert response.encode(12) == without


def test_api_versions_response_to_its_last_byte() -> None:
    """Old librdkafka gives up a broker whose version 3 answer lacks one byte, such as the empty tags at its end."""
    response = ApiVersionsResponse(api_keys=[ApiVersion(api_key=18, min_version=0, max_version=4)])
    assert response.encode(3) == b"\0\0" + b"\x02" + b"\0\x12\0\0\0\x04\0" + bytes(4) + b"\0"
    assert response.encode(0) == b"\0\0" + b"\0\0\0\x01" + b"\0\x12\0\0\0\x04"
    assert ApiVersionsRequest().encode(0) == b""


def test_nullable_struct() -> None:
    response = ConsumerGroupHeartbeatResponse(member_epoch=1)
    assert ConsumerGroupHeartbeatResponse.decode(response.encode(0), 0) == response
    assert response.encode(0)[-2:] == b"\xff\x00"


def produce_request(records: bytes | None) -> ProduceRequest:
    data = [PartitionProduceData(index=1, records=records)]
    return ProduceRequest(acks=1, topic_data=[TopicProduceData(name="t", topic_id=TOPIC_ID, partition_data=data)])


@pytest.mark.parametrize("version", range(3, 14))
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_records_are_slices_of_the_input(version: int, wrap: type[bytes]) -> None:
    raw = bytearray(produce_request(b"0123456789").encode(version))
    data = wrap(raw)
    records = ProduceRequest.decode(data, version).topic_data[0].partition_data[0].records
    assert isinstance(records, memoryview)
    assert records == b"0123456789"
    assert records.obj is (data.obj if isinstance(data, memoryview) else data)


@pytest.mark.parametrize("version", [3, 9, 13])
def test_null_and_empty_records(version: int) -> None:
    for records in (None, b""):
        again = ProduceRequest.decode(produce_request(records).encode(version), version)
        assert again.topic_data[0].partition_data[0].records == records


@pytest.mark.parametrize("version", [4, 11, 12, 18])
def test_record_buffers_pass_through_uncopied(version: int) -> None:
    first, second = memoryview(bytes(300)), bytearray(b"xyz")
    topic = FetchableTopicResponse(topic_id=TOPIC_ID, topic="t")
    topic.partitions = [
        PartitionData(partition_index=0, records=[first, second]),
        PartitionData(partition_index=1, records=b"one"),
        PartitionData(partition_index=2, records=None),
        PartitionData(partition_index=3, records=[]),
    ]
    response = FetchResponse(responses=[topic])
    parts = response.encode_parts(version)
    assert any(part is first for part in parts)
    assert any(part is second for part in parts)
    joined = b"".join(parts)
    assert response.encode(version) == joined
    again = FetchResponse.decode(joined, version).responses[0].partitions
    assert [p.records for p in again] == [bytes(300) + b"xyz", b"one", None, b""]
