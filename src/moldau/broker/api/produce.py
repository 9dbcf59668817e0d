"""Produce 3-13 (0-2 are advertised and refused: KAFKA-18659): batches into the log, acknowledged after their commit.

acks=-1 and acks=1 are answered after the sequencing commit, synced for -1; acks=0 has no reply, and an error closes the connection.
12 is that of transactions version 2 (KIP-890): batches join the transaction by themselves. Version 13 names topics by id. Each partition fails alone. This is the hot path: no task, no future; the appender calls back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from moldau.broker.dispatch import frame_reply
from moldau.broker.produce_refusal import refuse
from moldau.broker.produce_shape import ProduceShape
from moldau.broker.transactional import IMPLICIT_FROM, Joining, is_stale
from moldau.log.flush import Append
from moldau.log.shared_appender import SharedAppender
from moldau.metadata.errors import StoreError
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from moldau.records.batch import LOG_APPEND_TIME_BIT, TRANSACTIONAL_BIT
from moldau.records.errors import InvalidBatch
from moldau.records.validate import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from moldau.broker.broker import Broker
    from moldau.broker.catalog import Topic
    from moldau.broker.dispatch import Reply, Request
    from moldau.coordination.transactions.known import Known
    from moldau.log.flush import Batch
    from moldau.log.view import PartitionView
    from moldau.metadata.rows_txn import TxnGuard
    from moldau.records.batch import BatchHeader

    _Unknown = tuple[str | bytes, PartitionProduceData, PartitionProduceResponse]


class _Produce:
    """One request under way: answers come in any order, the reply leaves with the last."""

    __slots__ = (
        "acks",
        "broker",
        "failed",
        "joining",
        "known",
        "missing",
        "now",
        "reply",
        "request",
        "response",
        "unknown",
    )

    def __init__(self, broker: Broker, request: Request, reply: Reply, response: ProduceResponse) -> None:
        self.broker = broker
        self.request = request
        self.reply = reply
        self.response = response
        self.acks: int = request.message.acks
        self.missing = 1
        self.failed = False
        self.unknown: list[_Unknown] | None = [] if broker.catalog.shared else None
        """What another broker may have made; None where there is none."""
        self.joining: list[Joining] | None = None
        """Batches that may open a transaction in their partition, once somebody has said so."""
        self.known: Known | None = None
        """The transaction of the last batch that had one."""
        self.now = broker.clock()
        """What batches are checked against, and stamped with."""

    def one_done(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.finish()

    def finish(self) -> None:
        self.broker.metrics.request(api_keys.PRODUCE, self.request.started)
        if self.acks:
            self.reply.send(frame_reply(self.request, self.response.encode(self.request.version)))
        elif self.failed:
            self.reply.hang_up()
        else:
            self.reply.send(())


def begin(broker: Broker, request: Request, reply: Reply) -> None:
    message: ProduceRequest = request.message
    reply.overlaps = True
    reply.learn = partial(_learn, broker, request)
    response = ProduceResponse()
    produce = _Produce(broker, request, reply, response)
    by_id = request.version >= 13
    early = error_codes.NONE
    if message.acks not in (-1, 0, 1):
        early = error_codes.INVALID_REQUIRED_ACKS
    for data in message.topic_data:
        topic = broker.catalog.by_id.get(data.topic_id) if by_id else broker.catalog.by_name.get(data.name)
        answers: list[PartitionProduceResponse] = []
        if data.partition_data:
            response.responses.append(
                TopicProduceResponse(name=data.name, topic_id=data.topic_id, partition_responses=answers)
            )
        for partition in data.partition_data:
            answer = PartitionProduceResponse(index=partition.index, base_offset=-1, log_append_time_ms=-1)
            answers.append(answer)
            if early:
                _refuse(produce, answer, early, None)
            elif topic is None or not 0 <= partition.index < len(topic.partition_ids):
                if produce.unknown is not None:
                    produce.unknown.append((data.topic_id if by_id else data.name, partition, answer))
                else:
                    _refuse_unknown(produce, topic, answer)
            else:
                _place(produce, topic, partition, answer)
    if produce.unknown:
        reply.overlaps = False  # a request behind this one must not come before it
        broker.keep(broker.loop.create_task(_look_again(produce, produce.unknown)))
    else:
        _all_placed(produce)


def _learn(broker: Broker, request: Request, frame: bytearray) -> None:
    """The next one like it need not be decoded."""
    known = request.peer.again.get(api_keys.PRODUCE)
    if known is None:
        known = request.peer.again[api_keys.PRODUCE] = ProduceShape(broker)
    assert isinstance(known, ProduceShape)
    known.learn(frame, request)


async def _look_again(produce: _Produce, unknown: list[_Unknown]) -> None:
    """Nothing is refused as unknown before the store was asked."""
    catalog = produce.broker.catalog
    code = error_codes.NONE
    try:
        await catalog.look_for((topic, partition.index) for topic, partition, _ in unknown)
    except StoreError:
        code = error_codes.KAFKA_STORAGE_ERROR
    produce.now = produce.broker.clock()
    for name_or_id, partition, answer in unknown:
        topic = catalog.by_name.get(name_or_id) if isinstance(name_or_id, str) else catalog.by_id.get(name_or_id)
        if topic is not None and 0 <= partition.index < len(topic.partition_ids):
            _place(produce, topic, partition, answer)
        elif code:
            _refuse(produce, answer, code, "the metadata store does not answer")
        else:
            _refuse_unknown(produce, topic, answer)
    _all_placed(produce)


def _all_placed(produce: _Produce) -> None:
    """Every batch of the request is on its way, refused, or among those that join a transaction."""
    if produce.joining is not None:
        produce.reply.overlaps = False  # a request behind this one must not come before it
        for batch in produce.joining:
            _join(produce, batch)
    produce.one_done()


def _join(produce: _Produce, batch: Joining, again: bool = False) -> None:
    """Behind the others of its transactional id whose guards are asked about."""
    produce.missing += 1

    def take(guard: TxnGuard) -> None:
        _submit(produce, batch.topic, batch.index, batch.batch, batch.header, batch.answer, guard, again)
        produce.one_done()

    def refuse(code: int, message: str) -> None:
        _refuse(produce, batch.answer, code, message)
        produce.one_done()

    request = produce.request
    produce.broker.joins.add(request.message.transactional_id or "", request.version, batch, take, refuse)


def _place(produce: _Produce, topic: Topic, partition: PartitionProduceData, answer: PartitionProduceResponse) -> None:
    """Into the log, unless clients of the partition are to go elsewhere."""
    steering = produce.broker.steering
    if steering is not None and not steering.writer(topic.partition_ids[partition.index]):
        _send_away(produce, topic.partition_ids[partition.index], answer)
    else:
        _append(produce, topic, partition.index, cast("memoryview | None", partition.records), answer)


def _refuse_unknown(produce: _Produce, topic: Topic | None, answer: PartitionProduceResponse) -> None:
    by_id = topic is None and produce.request.version >= 13
    _refuse(produce, answer, error_codes.UNKNOWN_TOPIC_ID if by_id else error_codes.UNKNOWN_TOPIC_OR_PARTITION, None)


def _refuse(
    produce: _Produce, answer: PartitionProduceResponse, code: int, message: str | None, *, known: bool = False
) -> None:
    refuse(produce.broker, answer, code, message, known=known)
    produce.failed = True


def _send_away(produce: _Produce, partition_id: int, answer: PartitionProduceResponse) -> None:
    """The partition is another broker's by now; from version 10 on the reply says whose (KIP-951)."""
    broker, request = produce.broker, produce.request
    _refuse(produce, answer, error_codes.NOT_LEADER_OR_FOLLOWER, None)
    if request.version >= 10:
        leader, epoch = broker.members.partition_leader(partition_id), broker.leader_epoch_of(partition_id)
        answer.current_leader = LeaderIdAndEpoch(leader_id=leader, leader_epoch=epoch)
        if not produce.response.node_endpoints:
            produce.response.node_endpoints = [
                NodeEndpoint(node_id=node_id, host=host, port=port, rack=rack)
                for node_id, host, port, rack in broker.told_of(request.peer.endpoint)
            ]


def _append(
    produce: _Produce, topic: Topic, index: int, records: memoryview | None, answer: PartitionProduceResponse
) -> None:
    broker = produce.broker
    try:
        header, batch = prepare(
            records if records is not None else memoryview(b""),
            topic.rules,
            produce.now,
            zstd_allowed=produce.request.version >= 7,
        )
    except InvalidBatch as invalid:
        _refuse(produce, answer, invalid.error_code, invalid.message)
        answer.record_errors = [
            BatchIndexAndErrorMessage(batch_index=at, batch_index_error_message=text)
            for at, text in invalid.record_errors
        ]
        return
    guard = None
    if header.attributes & TRANSACTIONAL_BIT:
        transactional_id = produce.request.message.transactional_id
        if not transactional_id:
            code = error_codes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            _refuse(produce, answer, code, "a transactional batch came in a request without a transactional id")
            return
        known = produce.known
        if known is None or known.epoch != header.producer_epoch or known.producer_id != header.producer_id:
            known = produce.known = broker.transactions.known.of(
                transactional_id, header.producer_id, header.producer_epoch
            )
        guard = known.guards.get(topic.partition_ids[index]) if known is not None else None
        if guard is None or broker.joins.has_line(transactional_id):
            if produce.joining is None:
                produce.joining = []
            produce.joining.append(Joining(topic, index, batch, header, answer))
            return
    _submit(produce, topic, index, batch, header, answer, guard)


def _submit(
    produce: _Produce,
    topic: Topic,
    index: int,
    batch: Batch,
    header: BatchHeader,
    answer: PartitionProduceResponse,
    guard: TxnGuard | None,
    again: bool = False,
) -> None:
    """`again`: of a transactional batch, that its guard was asked about anew."""
    broker, metrics = produce.broker, produce.broker.metrics
    produce.missing += 1
    metrics.bytes_in += len(batch)
    metrics.records_in += header.record_count

    def done(append: Append) -> None:
        answer.log_start_offset = append.view.log_start_offset
        if append.error_code:
            if is_stale(append) and not again:
                broker.transactions.forget(produce.request.message.transactional_id)
                _join(produce, Joining(topic, index, batch, header, answer), again=True)
                produce.one_done()
                return
            _refuse(produce, answer, append.error_code, append.error_message, known=True)
        else:
            answer.base_offset = append.base_offset
            if append.header.attributes & LOG_APPEND_TIME_BIT:  # by `prepare`
                answer.log_append_time_ms = append.header.max_timestamp
        produce.one_done()

    from_zero = produce.request.version >= IMPLICIT_FROM and header.is_transactional
    durable = produce.acks == -1
    partition_id = topic.partition_ids[index]
    view = broker.views.get(partition_id)
    if view is not None:
        broker.appender.submit(Append(view, batch, header, durable, done, guard, from_zero))
    else:
        append = partial(
            Append, batch=batch, header=header, durable=durable, done=done, guard=guard, from_zero=from_zero
        )
        _submit_loaded(produce, partition_id, header, answer, append)


def _submit_loaded(
    produce: _Produce,
    partition_id: int,
    header: BatchHeader,
    answer: PartitionProduceResponse,
    append: Callable[[PartitionView], Append],
) -> None:
    """To a view that has to be built first."""
    broker = produce.broker

    def loaded(view: PartitionView | None, error: Exception | None) -> None:
        if view is not None:
            broker.appender.submit(append(view))
            return
        code = error_codes.KAFKA_STORAGE_ERROR if error else error_codes.UNKNOWN_TOPIC_OR_PARTITION
        if error and isinstance(broker.appender, SharedAppender):
            broker.appender.pass_over(partition_id, header)
        _refuse(produce, answer, code, str(error) if error else None, known=True)
        produce.one_done()

    broker.views.load_then(partition_id, loaded)
