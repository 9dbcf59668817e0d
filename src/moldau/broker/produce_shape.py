"""Produce requests of a connection that differ in the partition and the batch alone: for one topic, and no transaction.

What the first one says around those is kept as bytes. A next one that says the same is not decoded: its batch is checked and handed to the appender as by
`moldau.broker.api.produce`, and its answer is the first one's with other numbers in it. What is anything else goes the long way: other bytes, a topic or partition
that is not known here or not led here, one whose view has to be loaded, a batch that is refused or belongs to a transaction.

Sketch, for one record a request: header, decoding, three objects of an answer and its encoding are 10 us of 24; this is 2 us instead.
"""

from __future__ import annotations

import time
from struct import Struct
from typing import TYPE_CHECKING

from moldau.log.flush import Append
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)
from moldau.protocol.skeleton import Skeleton, first_difference
from moldau.records.batch import ATTRIBUTES_AT, HEADER_BYTES, TRANSACTIONAL_BIT
from moldau.records.errors import InvalidBatch
from moldau.records.validate import LOG_APPEND_TIME, prepare

from .dispatch import Request, frame_reply
from .recurring import HEAD, TRIES

if TYPE_CHECKING:
    from .broker import Broker
    from .dispatch import Reply

_INDEX_AND_LENGTH = Struct(">ii")
_INDEX = Struct(">i")
_LEAST = 64
"""A partition and a batch have more bytes than that."""
_START_OFFSET_FROM = 5
"""Version in which the answer has the log's start offset."""


class ProduceShape:
    """See the module's text. One of a connection."""

    __slots__ = (
        "_after",
        "_before",
        "_broker",
        "_durable",
        "_first",
        "_flexible",
        "_index_at",
        "_index_in_answer",
        "_name",
        "_request",
        "_skeleton",
        "_topic_id",
        "_tries",
    )

    _request: Request
    _skeleton: Skeleton
    _index_in_answer: int

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._tries = 0
        self._first = b""
        """Key and version; empty while there is no shape."""
        self._before = self._after = b""
        self._index_at = HEAD

    def learn(self, frame: bytearray, request: Request) -> None:
        """This request was handled the long way."""
        message: ProduceRequest = request.message
        if (
            self._tries >= TRIES
            or message.transactional_id is not None
            or message.acks not in (-1, 1)
            or len(message.topic_data) != 1
            or len(message.topic_data[0].partition_data) != 1
            or not message.topic_data[0].partition_data[0].records
        ):
            return
        if self._first and self._batch_of(frame) is not None:
            return  # it had this shape, and only this time it could not be done so
        self._tries += 1
        topic = message.topic_data[0]
        partition = topic.partition_data[0]
        self._flexible = request.version >= api_keys.FLEXIBLE_FROM[api_keys.PRODUCE]
        before, after = self._around(message, partition, request.version)
        records = len(partition.records or b"")
        length_bytes = ((records + 1).bit_length() + 6) // 7 if self._flexible else 4
        start = len(frame) - len(after) - records - length_bytes - 4 - len(before)
        if start < HEAD or frame[start : start + len(before)] != before:
            self._first = b""
            return
        self._index_at = start + len(before)
        self._before, self._after = bytes(frame[HEAD : self._index_at]), after
        self._first = bytes(frame[:4])
        self._request = Request(request.peer, request.api_key, request.version, 0, request.client_id)
        self._durable = message.acks == -1
        self._name, self._topic_id = topic.name, topic.topic_id
        self._learn_answer()
        if self._batch_of(frame) is None:
            self._first = b""  # it says something that we would say otherwise

    def _around(self, message: ProduceRequest, partition: PartitionProduceData, version: int) -> tuple[bytes, bytes]:
        """What the request says before the partition's index and behind its batch."""
        index, records = partition.index, partition.records
        partition.records = b""
        partition.index = 0
        zero = message.encode(version)
        partition.index = -1
        minus_one = message.encode(version)
        partition.index, partition.records = index, records
        at = first_difference(zero, minus_one)
        return bytes(zero[:at]), bytes(zero[at + 4 + (1 if self._flexible else 4) :])

    def _batch_of(self, frame: bytearray) -> tuple[int, memoryview] | None:
        """The partition and its batch, if the request has this shape."""
        at = self._index_at
        if len(frame) < at + _LEAST or not frame.startswith(self._first) or frame[HEAD:at] != self._before:
            return None
        if self._flexible:
            (index,) = _INDEX.unpack_from(frame, at)
            at += 4
            size, shift = 0, 0
            while True:
                byte = frame[at]
                at += 1
                size |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 28:
                    return None
            size -= 1
        else:
            index, size = _INDEX_AND_LENGTH.unpack_from(frame, at)
            at += 8
        if size < HEADER_BYTES or at + size + len(self._after) != len(frame) or not frame.endswith(self._after):
            return None
        return index, memoryview(frame)[at : at + size]

    def begin(self, frame: bytearray, reply: Reply) -> bool:
        """See `moldau.broker.dispatch.Again`."""
        if not self._first:
            return False
        found = self._batch_of(frame)
        if found is None:
            return False
        started = time.perf_counter_ns()
        index, batch = found
        if batch[ATTRIBUTES_AT + 1] & TRANSACTIONAL_BIT:
            return False
        broker, version = self._broker, self._request.version
        topic = broker.catalog.by_id.get(self._topic_id) if version >= 13 else broker.catalog.by_name.get(self._name)
        if topic is None or not 0 <= index < len(topic.partition_ids):
            return False
        partition_id = topic.partition_ids[index]
        steering = broker.steering
        view = broker.views.get(partition_id)
        if view is None or (steering is not None and not steering.writer(partition_id)):
            return False
        rules, now = topic.rules, broker.clock()
        try:
            header, batch = prepare(batch, rules, now, zstd_allowed=version >= 7)
        except InvalidBatch:
            return False
        self._tries = 0
        metrics = broker.metrics
        metrics.bytes_in += len(batch)
        metrics.records_in += header.record_count
        stamped = now if rules.timestamp_type == LOG_APPEND_TIME else -1

        def done(append: Append) -> None:
            metrics.request(api_keys.PRODUCE, started)
            if append.error_code:
                answer = self._refusal(index, append)
            else:
                answer = self._answer(index, append.base_offset, stamped, append.view.log_start_offset)
            answer[4:8] = frame[4:8]
            reply.send([answer])

        reply.overlaps = True
        broker.appender.submit(Append(view, batch, header, self._durable, done))
        return True

    def _learn_answer(self) -> None:
        """Where the partition is in it, and the numbers."""
        zero, minus_one = (self._framed(PartitionProduceResponse(index=index)) for index in (0, -1))
        self._index_in_answer = first_difference(zero, minus_one)
        zeros, ones = (
            self._framed(
                PartitionProduceResponse(base_offset=number, log_append_time_ms=number, log_start_offset=number)
            )
            for number in (0, -1)
        )
        self._skeleton = Skeleton(zeros, ones)

    def _answer(self, index: int, base_offset: int, stamped: int, start_offset: int) -> bytearray:
        numbers = (base_offset, stamped, start_offset)
        answer = bytearray(self._skeleton.fill(numbers if self._request.version >= _START_OFFSET_FROM else numbers[:2]))
        _INDEX.pack_into(answer, self._index_in_answer, index)
        return answer

    def _refusal(self, index: int, append: Append) -> bytearray:
        broker, code = self._broker, append.error_code
        if code == error_codes.UNKNOWN_TOPIC_OR_PARTITION:
            broker.catalog.suspect()
        broker.metrics.errors[api_keys.PRODUCE, code] += 1
        return self._framed(
            PartitionProduceResponse(
                index=index,
                error_code=code,
                base_offset=-1,
                log_append_time_ms=-1,
                log_start_offset=append.view.log_start_offset,
                error_message=append.error_message,
            )
        )

    def _framed(self, answer: PartitionProduceResponse) -> bytearray:
        request = self._request
        topic = TopicProduceResponse(name=self._name, topic_id=self._topic_id, partition_responses=[answer])
        return bytearray().join(frame_reply(request, ProduceResponse(responses=[topic]).encode(request.version)))
