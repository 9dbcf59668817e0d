"""``moldau consume``: records of topics onto stdout."""

import shutil
import signal
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click

from moldau.cli.completion import complete_groups, complete_topics
from moldau.cli.errors import EXIT_TERMINATED, CliError, note
from moldau.cli.options import NAME, cluster_options
from moldau.cli.positions import Kind, Position, parse_position
from moldau.cli.record_output import Printer, TablePrinter, format_printer, json_printer, text_printer
from moldau.cli.stops import Partition, Stops

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

    from moldau.cli.client import Cluster

_POLL_S = 0.1
_BATCH_RECORDS = 1000


@click.command()
@click.argument("topics", metavar="TOPIC...", nargs=-1, required=True, shell_complete=complete_topics, type=NAME)
@click.option("--from", "from_", metavar="POSITION", help="Where to begin.  [default: beginning]")
@click.option("--until", metavar="POSITION", help="Stop before this place in every partition.")
@click.option(
    "-p", "--partition", "partitions", type=click.IntRange(0), multiple=True, help="Only this partition; repeatable."
)
@click.option(
    "-g",
    "--group",
    metavar="NAME",
    type=NAME,
    shell_complete=complete_groups,
    help="Read as a member of this consumer group and commit what was printed.",
)
@click.option(
    "--follow/--exit-at-end",
    "-F/-e",
    default=None,
    help="Wait for new records, or stop at the end.  [default: follow, unless --until is given]",
)
@click.option("-n", "--count", type=click.IntRange(0), help="Stop after this many records.")
@click.option("-f", "format_string", metavar="FORMAT", help="Print each record like kcat: '%t %p %o %k %s %h %T\\n'.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "table"]),
    default="text",
    show_default=True,
    help="Form of the output.",
)
@click.option("-K", "--key-separator", metavar="TEXT", help="Print KEY TEXT VALUE.")
@click.option("-D", "--delimiter", metavar="TEXT", default="\\n", help="What to print after a record.  [default: \\n]")
@click.option("--null", metavar="TEXT", default="", help="What to print for null.  [default: nothing]")
@cluster_options
def consume(cluster: "Cluster", topics: tuple[str, ...], **options: Any) -> None:
    """Read records of one or more topics.

    POSITION is beginning, end, an offset, -N (N before the end), +N (N after the beginning) or @TIME: seconds or
    milliseconds since 1970, an ISO date or time, or -5m for five minutes ago.

    \b
    moldau consume orders --from -10 --exit-at-end
    moldau consume orders --from @-1h --until @now --format json
    moldau consume orders --group billing -f '%p/%o %k=%s\\n'

    In a format, %t is the topic, %p the partition, %o the offset, %k the key, %s the value, %h the headers, %T the
    timestamp in milliseconds; %K and %S are the lengths of key and value, %R the value's in four bytes. Escapes are
    \\n, \\t, \\r, \\0, \\\\ and \\xNN.
    """
    reader = _Reader(cluster, list(dict.fromkeys(topics)), options)
    previous = _end_on_sigterm()
    try:
        reader.run()
    finally:
        reader.close()
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _end_on_sigterm() -> Any:
    """Let SIGTERM end the loop in order, so that a member leaves its group; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        return None

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(EXIT_TERMINATED)

    return signal.signal(signal.SIGTERM, end)


class _Reader:
    """One run of ``consume``: the plan from the options, then the loop."""

    def __init__(self, cluster: "Cluster", topics: list[str], options: dict[str, Any]) -> None:
        self.cluster = cluster
        self.topics = topics
        self.group: str | None = options["group"]
        self.only: tuple[int, ...] = options["partitions"]
        self.count: int | None = options["count"]
        now_ms = time.time_ns() // 1_000_000
        self.begin = _position(options["from_"] or "beginning", "--from", now_ms)
        self.until = None if options["until"] is None else _position(options["until"], "--until", now_ms)
        follow: bool | None = options["follow"]
        if follow and self.until is not None:
            raise click.UsageError("Give --follow or --until, not both.")
        if follow is False and self.until is None:
            self.until = Position(Kind.END)
        if self.group is not None:
            self._check_group_options(options["from_"])
        self.printer = _printer(options, topics)
        self.out: IO[bytes] = sys.stdout.buffer
        self.printed = 0
        self.lost_since: float | None = None
        self.consumer: Consumer | None = None
        # A stop in the future is known once its time has come.
        future = self.until is not None and self.until.kind is Kind.TIME and self.until.value > now_ms
        self.stops = Stops(
            end_is_enough=self.until == Position(Kind.END),
            time_ms=self.until.value if future and self.until is not None else None,
        )
        self.assigned = False

    def _check_group_options(self, begin: str | None) -> None:
        if self.only:
            raise click.UsageError("--partition does not go with --group: the group shares the partitions out.")
        if self.begin not in (Position(Kind.BEGINNING), Position(Kind.END)):
            raise click.UsageError(
                f"with --group, --from may be 'beginning' or 'end' (where the group has no offset yet), not {begin!r}; "
                f"'moldau group reset {self.group}' moves a group."
            )

    # -- the plan --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Read and print until a stop, the count, or Ctrl-C."""
        known = self.cluster.partitions(self.topics)
        if self.count == 0:
            return
        properties = {
            "enable.partition.eof": "true",
            "enable.auto.offset.store": "false",
            "auto.offset.reset": "latest" if self.begin == Position(Kind.END) else "earliest",
            "fetch.wait.max.ms": "100",
            "fetch.queue.backoff.ms": "10",  # the client's default sleeps a second whenever 100,000 records are queued
        }
        if self.group is None:
            partitions = self._selected(known)
            self.consumer = self.cluster.consumer(
                {"group.id": "moldau-cli", "enable.auto.commit": "false", **properties}
            )
            self._assign(self.consumer, partitions)
        else:
            self.consumer = self.cluster.consumer({"group.id": self.group, "enable.auto.commit": "true", **properties})
            self.consumer.subscribe(self.topics, on_assign=self._on_assign, on_revoke=self._on_revoke)
        if self.until is None and sys.stdout.isatty() and sys.stderr.isatty():
            note(f"Reading {', '.join(self.topics)}; Ctrl-C ends.")
        self._loop(self.consumer)

    def _selected(self, known: dict[str, list[int]]) -> list[Partition]:
        for topic, numbers in known.items():
            for each in self.only:
                self.cluster.check_partition(topic, each, numbers)
        return [(topic, each) for topic in known for each in known[topic] if not self.only or each in self.only]

    def _assign(self, consumer: "Consumer", partitions: list[Partition]) -> None:
        from confluent_kafka import TopicPartition

        beginnings, ends = self._bounds(partitions)
        starts = self._resolve(self.begin, partitions, beginnings, ends)
        for where, start in starts.items():
            if start > ends[where]:
                note(f"{where[0]} partition {where[1]} ends at offset {ends[where]}: reading from there")
                starts[where] = ends[where]
        stops = self._stop_offsets(partitions, beginnings, ends)
        for where in partitions:
            self.stops.follow(where, stops.get(where), starts[where])
        self.assigned = True
        consumer.assign(
            [TopicPartition(*where, starts[where]) for where in partitions if where not in self.stops.reached]
        )

    def _on_assign(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        fresh = [(each.topic, each.partition) for each in partitions]
        stops: dict[Partition, int] = {}
        if self.until is not None and fresh:
            stops = self._stop_offsets(fresh, *self._bounds(fresh))
        for where in fresh:
            self.stops.follow(where, stops.get(where))
        self.assigned = True

    def _on_revoke(self, consumer: "Consumer", partitions: "list[TopicPartition]") -> None:
        for each in partitions:
            self.stops.forget((each.topic, each.partition))
        self.assigned = False

    def _bounds(self, partitions: list[Partition]) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """The beginning and the end of each partition; the end as a reader of committed records sees it."""
        committed = self.cluster.properties.get("isolation.level", "read_committed") == "read_committed"
        return (
            self.cluster.beginnings(partitions),
            self.cluster.ends(partitions, read_committed=committed),
        )

    def _resolve(
        self,
        position: Position,
        partitions: list[Partition],
        beginnings: dict[Partition, int],
        ends: dict[Partition, int],
    ) -> dict[Partition, int]:
        at_time: dict[Partition, int] = {}
        if position.kind is Kind.TIME:
            at_time = self.cluster.at_time(partitions, position.value)
        return {where: position.offset(beginnings[where], ends[where], at_time.get(where)) for where in partitions}

    def _stop_offsets(
        self, partitions: list[Partition], beginnings: dict[Partition, int], ends: dict[Partition, int]
    ) -> dict[Partition, int]:
        if self.until is None or self.stops.time_ms is not None:
            return {}
        return self._resolve(self.until, partitions, beginnings, ends)

    # -- the loop --------------------------------------------------------------------------------------------------

    def _loop(self, consumer: "Consumer") -> None:
        while not (self.until is not None and self.assigned and self.stops.all_reached()):
            first = consumer.poll(_POLL_S)
            if first is None:
                self._idle()
                continue
            self.lost_since = None
            batch = [first, *consumer.consume(_BATCH_RECORDS, 0)]
            last = self._print(batch)
            self.out.flush()
            if self.group is not None:
                for message in last.values():
                    consumer.store_offsets(message)
            if self.printed == self.count:
                return

    def _print(self, batch: "list[Message]") -> "dict[Partition, Message]":
        """Print what counts of a batch; the last printed message of each partition."""
        last: dict[Partition, Message] = {}
        chunks: list[bytes] = []
        for message in batch:
            error = message.error()
            if error is not None:
                self._event(message, error)
                continue
            where, offset = (str(message.topic()), message.partition() or 0), message.offset() or 0
            if not self.stops.admits(where, offset, message.timestamp()[1]):
                continue
            chunks.append(self.printer(message))
            last[where] = message
            self.printed += 1
            if self.printed == self.count:
                break
        self.out.write(b"".join(chunks))
        return last

    def _event(self, message: "Message", error: "KafkaError") -> None:
        if error.name() == "_PARTITION_EOF":
            self.stops.at_end((str(message.topic()), message.partition() or 0), message.offset() or 0)
            return
        from confluent_kafka import KafkaException

        if error.name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"):
            raise self.cluster.topic_error(str(message.topic()), KafkaException(error))
        if error.name() not in ("_MAX_POLL_EXCEEDED", "_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT"):
            raise CliError(error.str())

    def _idle(self) -> None:
        """Nothing came: see whether the connection is gone, and whether the time of the stop has come."""
        self.cluster.poll_errors()
        now = time.monotonic()
        if self.cluster.connection_lost() and self.lost_since is None:
            self.lost_since = now
            if self.until is None:
                note(f"Lost the connection to {self.cluster.bootstrap}; trying again until Ctrl-C.")
        if self.until is not None and self.lost_since is not None and now - self.lost_since > self.cluster.timeout_s:
            self.cluster.probe()
            self.lost_since = None
        stop_ms = self.stops.time_ms
        if stop_ms is not None and time.time_ns() // 1_000_000 >= stop_ms:
            self.stops.time_ms = None
            partitions = self.stops.partitions()
            for where, stop in self._stop_offsets(partitions, *self._bounds(partitions)).items():
                self.stops.follow(where, stop)

    def close(self) -> None:
        """Commit what was printed, leave the group."""
        if self.consumer is not None:
            self.consumer.close()
            self.consumer = None


def _position(text: str, flag: str, now_ms: int) -> Position:
    try:
        return parse_position(text, now_ms)
    except ValueError as error:
        raise click.UsageError(f"{flag}: {error}") from None


def _printer(options: dict[str, Any], topics: list[str]) -> Printer:
    from moldau.cli.format_string import unescape

    null = options["null"].encode()
    form, format_string = options["form"], options["format_string"]
    if options["key_separator"] is not None and (form != "text" or format_string is not None):
        raise click.UsageError("--key-separator is for plain text: it goes with neither -f nor another --format.")
    try:
        if format_string is not None:
            if form != "text":
                raise click.UsageError(f"Give -f or --format {form}, not both.")
            return format_printer(format_string, null)
        if form == "json":
            return json_printer
        if form == "table":
            return TablePrinter(topics, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
        separator = options["key_separator"]
        return text_printer(unescape(options["delimiter"]), None if separator is None else unescape(separator), null)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
