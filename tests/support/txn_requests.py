"""Requests of a producer with transactions, one by one: what to ask, in which version, and where the answer has its error code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from moldau.protocol import api_keys
from moldau.protocol.message import Message
from moldau.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from moldau.protocol.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from moldau.protocol.messages.describe_transactions import DescribeTransactionsRequest
from moldau.protocol.messages.end_txn import EndTxnRequest
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest
from moldau.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from moldau.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from moldau.records.builder import build_batch
from moldau.records.record import Record

Producer = tuple[int, int]
"""Producer id and epoch."""
NEW: Producer = (-1, -1)


class Asked(NamedTuple):
    key: int
    version: int
    request: Message
    code: Callable[[Any], int]


def init(transactional_id: str, timeout_ms: int = 60_000, producer: Producer = NEW) -> Asked:
    request = InitProducerIdRequest(
        transactional_id=transactional_id,
        transaction_timeout_ms=timeout_ms,
        producer_id=producer[0],
        producer_epoch=producer[1],
    )
    return Asked(api_keys.INIT_PRODUCER_ID, 5, request, lambda it: int(it.error_code))


def add(transactional_id: str, producer: Producer, topic: str, partition: int) -> Asked:
    """Version 1 says beforehand what takes part."""
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=transactional_id,
        v3_and_below_producer_id=producer[0],
        v3_and_below_producer_epoch=producer[1],
        v3_and_below_topics=[AddPartitionsToTxnTopic(name=topic, partitions=[partition])],
    )

    def code(it: Any) -> int:
        return int(it.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)

    return Asked(api_keys.ADD_PARTITIONS_TO_TXN, 3, request, code)


def produce(
    transactional_id: str,
    producer: Producer,
    topic: str,
    partition: int,
    value: bytes,
    sequence: int = 0,
    *,
    version: int = 2,
) -> Asked:
    """One record."""
    batch = build_batch(
        [Record(0, 1, None, value)],
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=sequence,
        transactional=True,
    )
    data = PartitionProduceData(index=partition, records=memoryview(bytes(batch)))
    request = ProduceRequest(
        transactional_id=transactional_id,
        acks=-1,
        timeout_ms=10_000,
        topic_data=[TopicProduceData(name=topic, partition_data=[data])],
    )

    def code(it: Any) -> int:
        return int(it.responses[0].partition_responses[0].error_code)

    return Asked(api_keys.PRODUCE, 12 if version == 2 else 9, request, code)


def add_offsets(transactional_id: str, producer: Producer, group: str) -> Asked:
    request = AddOffsetsToTxnRequest(
        transactional_id=transactional_id, producer_id=producer[0], producer_epoch=producer[1], group_id=group
    )
    return Asked(api_keys.ADD_OFFSETS_TO_TXN, 3, request, lambda it: int(it.error_code))


def offsets(
    transactional_id: str, producer: Producer, group: str, topic: str, partition: int, offset: int, *, version: int = 2
) -> Asked:
    """One offset of a group without members."""
    asked = TxnOffsetCommitRequestPartition(
        partition_index=partition, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=""
    )
    request = TxnOffsetCommitRequest(
        transactional_id=transactional_id,
        group_id=group,
        producer_id=producer[0],
        producer_epoch=producer[1],
        topics=[TxnOffsetCommitRequestTopic(name=topic, partitions=[asked])],
    )

    def code(it: Any) -> int:
        return int(it.topics[0].partitions[0].error_code)

    return Asked(api_keys.TXN_OFFSET_COMMIT, 5 if version == 2 else 3, request, code)


def end(transactional_id: str, producer: Producer, *, commit: bool, version: int = 2) -> Asked:
    request = EndTxnRequest(
        transactional_id=transactional_id, producer_id=producer[0], producer_epoch=producer[1], committed=commit
    )
    return Asked(api_keys.END_TXN, 5 if version == 2 else 3, request, lambda it: int(it.error_code))


def describe(transactional_id: str) -> Asked:
    request = DescribeTransactionsRequest(transactional_ids=[transactional_id])
    return Asked(api_keys.DESCRIBE_TRANSACTIONS, 0, request, lambda it: int(it.transaction_states[0].error_code))
