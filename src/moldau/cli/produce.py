"""``moldau produce``: records from stdin or files into a topic."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from moldau.cli.completion import complete_topics
from moldau.cli.errors import EXIT_USAGE, CliError, note
from moldau.cli.lazy import nearest
from moldau.cli.options import NAME, cluster_options, key_values
from moldau.cli.record_input import parse_text, split
from moldau.cli.record_json import NewRecord, from_json

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

    from moldau.cli.client import Cluster

# Name, stream, and its size in bytes where that is known.
Source = tuple[str, IO[bytes], int | None]

# How long a broker that creates topics for producers may take before it counts as one that does not.
_AUTO_CREATE_S = 1.0
_CHUNK_BYTES = 1 << 18
# How many records go to the client before its callbacks are served.
_POLL_EVERY = 1000


@click.command(short_help="Write records to a topic, from stdin or files.")
@click.argument("topic", shell_complete=complete_topics, type=NAME)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path())
@click.option("-K", "--key-separator", metavar="TEXT", help="Each line is KEY TEXT VALUE.")
@click.option("-k", "--key", metavar="KEY", help="Give every record this key.")
@click.option("-H", "--header", "headers", metavar="KEY=VALUE", multiple=True, help="Add a header; repeatable.")
@click.option("-p", "--partition", type=click.IntRange(0), help="Send to this partition.  [default: by key]")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of a line."
)
@click.option("-D", "--delimiter", metavar="TEXT", default="\\n", help="What ends a record.  [default: \\n]")
@click.option("--null", metavar="TEXT", help="A key or value that is exactly TEXT is sent as null; '' may be TEXT.")
@click.option("--whole", is_flag=True, help="Send each FILE, or all of stdin, as one record.")
@click.option(
    "-z",
    "--compression",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    default="none",
    show_default=True,
    help="Compress batches.",
)
@click.option(
    "--acks",
    type=click.Choice(["all", "1", "0"]),
    default="all",
    show_default=True,
    help="Which acknowledgement to wait for.",
)
@click.option(
    "--create", is_flag=True, help="Create the topic where it does not exist, whatever the broker does by itself."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no counts at the end.")
@cluster_options
def produce(cluster: "Cluster", topic: str, files: tuple[str, ...], **options: Any) -> None:
    """Write records to a topic: a record for each line of stdin or of the FILEs ('-' is stdin).

    \b
    echo hello | moldau produce greetings
    moldau produce orders -K : orders.txt
    moldau consume orders --exit-at-end --format json | moldau produce copy --format json
    """
    try:
        parse = _parser(options)
        delimiter = _unescaped(options["delimiter"], "--delimiter")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not delimiter:
        raise click.UsageError("--delimiter is empty; --whole sends each file as one record.")
    headers: list[tuple[str, bytes | None]] = [
        (key, value.encode()) for key, value in (_header(text) for text in options["headers"])
    ]
    with contextlib.ExitStack() as files_open:
        sources = _open_all(files, files_open)
        _check_topic(cluster, topic, options["partition"], options["create"])
        _run(cluster, topic, sources, parse, delimiter, headers, options)


def _run(
    cluster: "Cluster",
    topic: str,
    sources: list[Source],
    parse: Callable[[bytes], NewRecord],
    delimiter: bytes,
    headers: list[tuple[str, bytes | None]],
    options: dict[str, Any],
) -> None:
    """Send everything, wait for the acknowledgements, tell how many there were."""
    sender = _Sender(cluster, topic, options, headers)
    started = time.monotonic()
    finished = False
    try:
        with _progress(sources, options["quiet"]) as advance:
            for name, stream, _ in sources:
                pieces = [_all_of(stream)] if options["whole"] else split(_chunks(stream, advance), delimiter)
                _send_all(sender, name, pieces, _whole_parser(options) if options["whole"] else parse)
        finished = True
    finally:
        sender.finish(whole=finished)
        if not options["quiet"] and (finished or sender.sent):
            _tell(sender, topic, time.monotonic() - started)
    sender.raise_failure()


def _send_all(sender: "_Sender", name: str, pieces: Iterable[bytes], parse: Callable[[bytes], NewRecord]) -> None:
    for number, piece in enumerate(pieces, 1):
        try:
            record = parse(piece)
        except ValueError as error:
            raise CliError(f"{name}, record {number}: {error} ({sender.sent:,} sent before it)") from None
        sender.send(record)


def _parser(options: dict[str, Any]) -> Callable[[bytes], NewRecord]:
    """What turns a line into a record. UsageError for options that exclude each other."""
    key = options["key"]
    if options["form"] == "json":
        clash = [flag for flag, name in (("-K", "key_separator"), ("--null", "null")) if options[name] is not None]
        if clash or options["whole"]:
            raise click.UsageError(f"--format json does not go with {clash[0] if clash else '--whole'}.")
        if key is None:
            return from_json
        raw_default = key.encode()

        def with_key(line: bytes) -> NewRecord:
            record = from_json(line)
            record.key = raw_default if record.key is None else record.key
            return record

        return with_key
    if key is not None and options["key_separator"] is not None:
        raise click.UsageError("Give --key or --key-separator, not both.")
    if options["whole"] and options["key_separator"] is not None:
        raise click.UsageError("--whole does not go with --key-separator.")
    separator = None if options["key_separator"] is None else _unescaped(options["key_separator"], "--key-separator")
    if separator == b"":
        raise click.UsageError("--key-separator is empty.")
    raw_key = None if key is None else key.encode()
    raw_null = None if options["null"] is None else options["null"].encode()
    return lambda line: parse_text(line, raw_key, separator, raw_null)


def _whole_parser(options: dict[str, Any]) -> Callable[[bytes], NewRecord]:
    raw_key = None if options["key"] is None else options["key"].encode()
    return lambda content: NewRecord(raw_key, content)


def _unescaped(text: str, flag: str) -> bytes:
    from moldau.cli.format_string import unescape

    try:
        return unescape(text)
    except ValueError as error:
        raise click.UsageError(f"{flag}: {error}") from None


def _header(text: str) -> tuple[str, str]:
    """Name and value; a name may come more than once in a record."""
    [(name, value)] = key_values((text,), "--header").items()
    return name, value


def _check_topic(cluster: "Cluster", topic: str, partition: int | None, create: bool) -> None:
    """CliError before anything is read where the topic or the partition does not exist.

    A topic that is not there is created with --create, or by a broker that does so for any producer
    (auto.create.topics.enable), but not where its name resembles one that is there: that is a mistyped name.
    """
    existing = cluster.metadata().topics
    if topic not in existing:
        if create:
            _create(cluster, topic)
        elif close := nearest(topic, [name for name in existing if not name.startswith("__")]):
            raise CliError(
                f"there is no topic {topic!r}. Did you mean {' or '.join(map(repr, close))}? --create creates it."
            )
        elif _created_by_broker(cluster, topic):
            note(f"The broker created topic {topic}.")
    known = cluster.partitions([topic])[topic]
    if partition is not None:
        cluster.check_partition(topic, partition, known)


def _create(cluster: "Cluster", topic: str) -> None:
    from moldau.cli.client import error_name, error_text
    from moldau.cli.topic import create_topics

    failure = create_topics(cluster, [topic]).get(topic)
    if failure is not None and error_name(failure) != "TOPIC_ALREADY_EXISTS":
        raise CliError(f"topic {topic!r}: {error_text(failure)}")


def _created_by_broker(cluster: "Cluster", topic: str) -> bool:
    """Ask for the topic as a producer does, and see whether the broker creates it."""
    producer = cluster.producer({"allow.auto.create.topics": "true"})
    deadline = time.monotonic() + min(cluster.timeout_s, _AUTO_CREATE_S)
    while time.monotonic() < deadline:
        found = producer.list_topics(topic, timeout=cluster.timeout_s).topics[topic]
        if found.error is None and found.partitions:
            return True
        time.sleep(0.05)
    return False


class _Sender:
    """A producer that keeps count. `sent` records went to the client, `failed` of them were refused."""

    def __init__(
        self, cluster: "Cluster", topic: str, options: dict[str, Any], headers: list[tuple[str, bytes | None]]
    ) -> None:
        self.cluster = cluster
        self.topic = topic
        self.partition: int = -1 if options["partition"] is None else options["partition"]
        self.headers = headers
        self.sent = 0
        self.sent_bytes = 0
        self.failed = 0
        self.first_error: KafkaError | None = None
        # A person types slowly and wants each line to go out at once; a file goes out in large batches.
        linger_ms = "0" if sys.stdin.isatty() else "20"
        self.producer: Producer = cluster.producer(
            {
                "acks": options["acks"],
                "enable.idempotence": "true" if options["acks"] == "all" else "false",
                "compression.type": options["compression"],
                "linger.ms": linger_ms,
                "partitioner": "murmur2_random",  # as the Java client, so that keys meet
                "delivery.report.only.error": "true",
                "message.timeout.ms": str(max(1, round(cluster.timeout_s * 1000))),
            }
        )

    def send(self, record: NewRecord) -> None:
        """Hand one record to the client, waiting while its queue is full."""
        headers = self.headers + record.headers if record.headers else self.headers
        partition = self.partition if record.partition is None or self.partition >= 0 else record.partition
        while True:
            try:
                self.producer.produce(
                    self.topic,
                    record.value,
                    record.key,
                    partition,
                    on_delivery=self._on_delivery,
                    timestamp=record.timestamp or 0,
                    headers=headers or None,  # type: ignore[arg-type]
                )
                break
            except BufferError:
                self.producer.poll(0.1)
                self._stop_on_failure()
            except Exception as error:
                from moldau.cli.client import error_text

                raise CliError(f"record {self.sent + 1}: {error_text(error)}") from None
        self.sent += 1
        self.sent_bytes += len(record.value or b"") + len(record.key or b"")
        if self.sent % _POLL_EVERY == 0 or self.sent < _POLL_EVERY:
            self.producer.poll(0)
            self._stop_on_failure()

    def _on_delivery(self, error: "KafkaError | None", message: "Message") -> None:
        if error is not None:
            self.failed += 1
            if self.first_error is None:
                self.first_error = error

    def _stop_on_failure(self) -> None:
        self.cluster.poll_errors()
        if self.first_error is not None:
            self.raise_failure()

    def finish(self, whole: bool) -> None:
        """Wait for the acknowledgements that are still out. After a failure (not `whole`) only briefly."""
        deadline = time.monotonic() + (self.cluster.timeout_s + 1 if whole else 1.0)
        while len(self.producer) and time.monotonic() < deadline:
            self.producer.flush(0.1)
        if len(self.producer):
            self.producer.purge()
            self.producer.flush(1.0)

    def raise_failure(self) -> None:
        """CliError where records were refused or not acknowledged in time."""
        error = self.first_error
        if error is None:
            return
        raise CliError(
            f"{self.failed:,} of {self.sent:,} records were not written: {_failure_text(error, self.cluster.timeout_s)}"
        )


def _failure_text(error: "KafkaError", timeout_s: float) -> str:
    if error.name() == "_MSG_TIMED_OUT":
        return f"no acknowledgement within {timeout_s:g} s (--timeout waits longer)"
    return error.str()


def _tell(sender: _Sender, topic: str, elapsed_s: float) -> None:
    from moldau.cli.output import count, size

    done = sender.sent - sender.failed
    rate = f", {done / elapsed_s:,.0f}/s" if done >= _POLL_EVERY and elapsed_s > 0 else ""
    note(f"{count(done, 'record')} ({size(sender.sent_bytes)}) to {topic} in {elapsed_s:.2f} s{rate}")


# -- input -------------------------------------------------------------------------------------------------------------


def _open_all(files: tuple[str, ...], stack: contextlib.ExitStack) -> list[Source]:
    """Every source, closed by `stack`. CliError for a file that cannot be read."""
    sources: list[Source] = []
    for name in files or ("-",):
        if name == "-":
            if sys.stdin.isatty():
                note("One record per line; Ctrl-D ends.")
            sources.append(("stdin", sys.stdin.buffer, None))
            continue
        try:
            stream = stack.enter_context(open(name, "rb"))  # noqa: SIM115  (the stack closes it)
            status = os.fstat(stream.fileno())
            if os.path.isdir(name):
                raise IsADirectoryError(21, "is a directory")
        except OSError as error:
            raise CliError(f"cannot read {name}: {(error.strerror or str(error)).lower()}", EXIT_USAGE) from None
        sources.append((name, stream, status.st_size if _is_regular(status.st_mode) else None))
    return sources


def _is_regular(mode: int) -> bool:
    import stat

    return stat.S_ISREG(mode)


def _chunks(stream: IO[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    """What the stream has to give as soon as it gives anything, so that typed lines go out at once."""
    read = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read
    while chunk := read(_CHUNK_BYTES):
        advance(len(chunk))
        yield chunk


def _all_of(stream: IO[bytes]) -> bytes:
    return stream.read()


class _progress:
    """A progress bar on stderr, where stderr is a terminal and the size of the input is known."""

    def __init__(self, sources: list[Source], quiet: bool) -> None:
        self.total = sum(size or 0 for _, _, size in sources)
        self.shown = (
            not quiet and self.total > 0 and sys.stderr.isatty() and all(size is not None for _, _, size in sources)
        )
        self.bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        if not self.shown:
            return lambda done: None
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        self.bar = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        task = self.bar.add_task("", total=self.total)
        return lambda done: self.bar.update(task, advance=done)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
