"""A small blocking Kafka client that says exactly what was sent and what was answered: for tests that kill brokers."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from moldau.protocol import api_keys
from moldau.protocol.headers import request_header_version, response_header_version
from moldau.protocol.message import Message
from moldau.protocol.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from moldau.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.headers import RequestHeader, ResponseHeader
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest
from moldau.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from moldau.protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse
from moldau.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from moldau.protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)
from moldau.protocol.registry import response_class
from moldau.records.batch import compute_crc, iter_headers
from moldau.records.builder import build_batch
from moldau.records.record import Record, iter_records

EARLIEST, LATEST = -2, -1


class Gone(Exception):
    """The broker hung up, or is not there."""


class Talker:
    """One connection."""

    def __init__(self, bootstrap: str, timeout: float = 20.0) -> None:
        host, port = bootstrap.rsplit(":", 1)
        try:
            self._socket = socket.create_connection((host, int(port)), timeout)
        except OSError as error:
            raise Gone(str(error)) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, api_key: int, version: int, body: Message) -> Any:
        """The decoded answer. Raises Gone; a time-out is an error of the broker's."""
        self.post(api_key, version, body)
        return self.take(api_key, version)

    def post(self, api_key: int, version: int, body: Message) -> None:
        """Send, without waiting: `take` gives the answer."""
        self._correlation_id += 1
        header = RequestHeader(
            request_api_key=api_key,
            request_api_version=version,
            correlation_id=self._correlation_id,
            client_id="test",
        )
        raw = header.encode(request_header_version(api_key, version)) + body.encode(version)
        try:
            self._socket.sendall(struct.pack(">i", len(raw)) + raw)
        except ConnectionError as error:
            raise Gone(str(error)) from error

    def take(self, api_key: int, version: int) -> Any:
        """The decoded answer to what was posted last."""
        try:
            answer = self._exactly(struct.unpack(">i", self._exactly(4))[0])
        except ConnectionError as error:
            raise Gone(str(error)) from error
        answered, at = ResponseHeader.decode_at(answer, response_header_version(api_key, version), 0)
        assert answered.correlation_id == self._correlation_id
        return response_class(api_key).decode_at(answer, version, at)[0]

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise Gone("the broker hung up")
            parts += part
        return bytes(parts)

    # -- topics -------------------------------------------------------------------------------------------------------

    def create_topic(self, name: str, partitions: int = 1, **configs: str) -> int:
        """The error code."""
        configs.setdefault("file_delete_delay_ms", "0")
        pairs = [CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()]
        topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, configs=pairs)
        answer = self.call(api_keys.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=10_000))
        return int(answer.topics[0].error_code)

    def delete_topic(self, name: str) -> int:
        """The error code."""
        request = DeleteTopicsRequest(topics=[DeleteTopicState(name=name)], timeout_ms=10_000)
        return int(self.call(api_keys.DELETE_TOPICS, 6, request).responses[0].error_code)

    def topics(self) -> list[str]:
        """All names."""
        return sorted(topic.name for topic in self.call(api_keys.METADATA, 9, MetadataRequest(topics=None)).topics)

    def brokers(self) -> set[int]:
        """The node ids that it names."""
        return {broker.node_id for broker in self.call(api_keys.METADATA, 9, MetadataRequest(topics=[])).brokers}

    def leader_epoch(self, topic: str, partition: int = 0) -> int:
        request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)])
        (found,) = self.call(api_keys.METADATA, 9, request).topics
        return int(next(each.leader_epoch for each in found.partitions if each.partition_index == partition))

    # -- records ------------------------------------------------------------------------------------------------------

    def producer_id(self) -> tuple[int, int, int]:
        """A new (id, epoch), and the error code."""
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
        answer = self.call(api_keys.INIT_PRODUCER_ID, 4, request)
        return answer.producer_id, answer.producer_epoch, answer.error_code

    def produce(self, topic: str, partition: int, batch: bytes | bytearray, acks: int = -1) -> PartitionProduceResponse:
        data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=partition, records=batch)])
        request = ProduceRequest(acks=acks, timeout_ms=10_000, topic_data=[data])
        answer: PartitionProduceResponse = self.call(api_keys.PRODUCE, 9, request).responses[0].partition_responses[0]
        return answer

    def fetch(
        self,
        topic: str,
        partition: int,
        offset: int,
        max_bytes: int = 1 << 20,
        leader_epoch: int = -1,
        *,
        committed: bool = False,
    ) -> PartitionData:
        """The answer for one partition, at once. `committed`: as a reader of committed records asks; aborted ones are still in it."""
        asked = FetchPartition(
            partition=partition,
            current_leader_epoch=leader_epoch,
            fetch_offset=offset,
            partition_max_bytes=max_bytes,
            log_start_offset=-1,
            last_fetched_epoch=-1,
        )
        request = FetchRequest(
            max_wait_ms=0,
            min_bytes=0,
            max_bytes=max_bytes,
            topics=[FetchTopic(topic=topic, partitions=[asked])],
            session_epoch=-1,
            rack_id="",
            isolation_level=int(committed),
        )
        answer: PartitionData = self.call(api_keys.FETCH, 12, request).responses[0].partitions[0]
        return answer

    def offset(self, topic: str, partition: int, timestamp: int) -> int:
        """EARLIEST, LATEST or a time."""
        answer = self.list_offset(topic, partition, timestamp)
        assert answer.error_code == 0, answer
        return answer.offset

    def list_offset(self, topic: str, partition: int, timestamp: int) -> ListOffsetsPartitionResponse:
        """The answer for one partition."""
        asked = ListOffsetsPartition(partition_index=partition, current_leader_epoch=-1, timestamp=timestamp)
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])])
        answer: ListOffsetsPartitionResponse = self.call(api_keys.LIST_OFFSETS, 7, request).topics[0].partitions[0]
        return answer

    def read_all(self, topic: str, partition: int) -> list[tuple[int, bytes]]:
        """(offset, value) of every record from the log start to the end; checksums are looked at."""
        offset, end = self.offset(topic, partition, EARLIEST), self.offset(topic, partition, LATEST)
        found: list[tuple[int, bytes]] = []
        while offset < end:
            answer = self.fetch(topic, partition, offset)
            start = self.offset(topic, partition, EARLIEST)
            if answer.error_code == 1 and start > offset:  # retention came between
                offset, found = start, []
                continue
            assert answer.error_code == 0, f"{topic}-{partition} at {offset} of {end}: error {answer.error_code}"
            records = list(records_of(answer.records))
            assert records, f"{topic}-{partition}: nothing at {offset}, the end is {end}"
            found += [(each.offset, each.value or b"") for each in records if each.offset >= offset]
            offset = records[-1].offset + 1
        return found

    def epoch_end(self, topic: str, partition: int, epoch: int) -> tuple[int, int]:
        """(leader epoch, end offset) of OffsetForLeaderEpoch."""
        asked = OffsetForLeaderPartition(partition=partition, current_leader_epoch=-1, leader_epoch=epoch)
        request = OffsetForLeaderEpochRequest(
            replica_id=-1, topics=[OffsetForLeaderTopic(topic=topic, partitions=[asked])]
        )
        answer = self.call(api_keys.OFFSET_FOR_LEADER_EPOCH, 4, request).topics[0].partitions[0]
        assert answer.error_code == 0, answer
        return answer.leader_epoch, answer.end_offset

    # -- groups -------------------------------------------------------------------------------------------------------

    def commit_offset(self, group: str, topic: str, partition: int, offset: int) -> int:
        """The error code."""
        self.post_commit(group, topic, partition, offset)
        return self.take_commit()

    def coordinator(self, group: str) -> int:
        """The node id; -1: none is there."""
        answer = self.call(api_keys.FIND_COORDINATOR, 3, FindCoordinatorRequest(key=group, key_type=0))
        return int(answer.node_id)

    def post_commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Send, without waiting: `take_commit` gives the answer."""
        asked = OffsetCommitRequestPartition(
            partition_index=partition, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=""
        )
        request = OffsetCommitRequest(
            group_id=group,
            generation_id_or_member_epoch=-1,
            member_id="",
            topics=[OffsetCommitRequestTopic(name=topic, partitions=[asked])],
        )
        self.post(api_keys.OFFSET_COMMIT, 8, request)

    def take_commit(self) -> int:
        """The error code."""
        return int(self.take(api_keys.OFFSET_COMMIT, 8).topics[0].partitions[0].error_code)

    def committed_offset(self, group: str, topic: str, partition: int) -> int:
        """-1: none."""
        answer = self.fetch_offset(group, topic, partition)
        assert answer.error_code == 0, answer
        return answer.topics[0].partitions[0].committed_offset

    def fetch_offset(self, group: str, topic: str, partition: int) -> OffsetFetchResponse:
        """The whole answer."""
        asked = OffsetFetchRequestTopic(name=topic, partition_indexes=[partition])
        answer: OffsetFetchResponse = self.call(
            api_keys.OFFSET_FETCH, 7, OffsetFetchRequest(group_id=group, topics=[asked])
        )
        return answer


def records_of(data: bytes | None) -> list[Record]:
    """The records of all whole batches."""
    found: list[Record] = []
    for position, header in iter_headers(data or b""):
        assert data is not None
        assert compute_crc(data, position, header.size) == header.crc, "a wrong checksum was served"
        found += iter_records(memoryview(data)[position : position + header.size])
    return found


def batch_of(values: list[bytes], producer: tuple[int, int] = (-1, -1), sequence: int = -1) -> bytearray:
    """One batch, of now: retention looks at the time."""
    now = time.time_ns() // 1_000_000
    records = [Record(0, now, None, value) for value in values]
    return build_batch(records, producer_id=producer[0], producer_epoch=producer[1], base_sequence=sequence)
