"""AddPartitionsToTxn 0-5: partitions take part in a transaction from now on (KIP-98); the first of them begins it.

Clients use 0-3, all or nothing: an unknown topic or partition is UNKNOWN_TOPIC_OR_PARTITION, and the others OPERATION_NOT_ATTEMPTED. 4 and 5 are those
of Kafka's brokers (KIP-890): several transactions in one request, `verify_only` to ask whether partitions take part; 5 begins a transaction of
version 2. PRODUCER_FENCED from 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.txn_errors import code_of
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> AddPartitionsToTxnResponse:
    message: AddPartitionsToTxnRequest = request.message
    version = request.version
    if version < 4:
        producer = message.v3_and_below_producer_id, message.v3_and_below_producer_epoch
        results = await _add(
            broker, message.v3_and_below_transactional_id, producer, message.v3_and_below_topics, version, verify=False
        )
        return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=results)
    return AddPartitionsToTxnResponse(
        results_by_transaction=[
            AddPartitionsToTxnResult(
                transactional_id=each.transactional_id,
                topic_results=await _add(
                    broker,
                    each.transactional_id,
                    (each.producer_id, each.producer_epoch),
                    each.topics,
                    version,
                    verify=each.verify_only,
                ),
            )
            for each in message.transactions
        ]
    )


async def _add(
    broker: Broker,
    transactional_id: str,
    producer: tuple[int, int],
    topics: list[AddPartitionsToTxnTopic],
    version: int,
    *,
    verify: bool,
) -> list[AddPartitionsToTxnTopicResult]:
    ids: dict[tuple[str, int], int] = {}
    failed: dict[tuple[str, int], int] = {}
    try:
        await broker.catalog.look_for((topic.name, max(topic.partitions, default=-1)) for topic in topics)
    except StoreError:
        return _results(topics, {}, error_codes.COORDINATOR_NOT_AVAILABLE)
    for asked in topics:
        topic = broker.catalog.by_name.get(asked.name)
        for index in asked.partitions:
            if topic is None or not 0 <= index < len(topic.partition_ids):
                failed[asked.name, index] = error_codes.UNKNOWN_TOPIC_OR_PARTITION
            else:
                ids[asked.name, index] = topic.partition_ids[index]
    if failed:
        return _results(topics, failed, error_codes.OPERATION_NOT_ATTEMPTED)
    try:
        if verify:
            _, refused = await broker.transactions.verify(transactional_id, producer, list(ids.values()))
            missing = error_codes.TRANSACTION_ABORTABLE if version >= 5 else error_codes.INVALID_TXN_STATE
            failed = {key: missing for key, partition_id in ids.items() if partition_id in refused}
        else:
            await broker.transactions.join(transactional_id, producer, list(ids.values()), 2 if version >= 5 else 1)
    except (TxnRefused, StoreError) as error:
        return _results(topics, {}, code_of(error, knows_fenced=version >= 2))
    return _results(topics, failed, error_codes.NONE)


def _results(
    topics: list[AddPartitionsToTxnTopic], failed: dict[tuple[str, int], int], others: int
) -> list[AddPartitionsToTxnTopicResult]:
    return [
        AddPartitionsToTxnTopicResult(
            name=topic.name,
            results_by_partition=[
                AddPartitionsToTxnPartitionResult(
                    partition_index=index,
                    partition_error_code=failed.get((topic.name, index), others) if failed else others,
                )
                for index in topic.partitions
            ],
        )
        for topic in topics
    ]
