"""The Kafka client behind the commands: connecting, waiting with an end, and telling errors in people's words.

Everything goes through ``confluent-kafka``, imported when the first command needs it.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, TypeVar

from moldau.cli.errors import EXIT_USAGE, CliError, missing_extra
from moldau.cli.lazy import did_you_mean

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ClusterMetadata

T = TypeVar("T")
Partition = tuple[str, int]

# How often a wait looks at the connection's errors, seconds.
_LOOK_S = 0.05
# librdkafka reports these about each attempt; they decide nothing alone, but say why nothing works.
_CONNECTION_ERRORS = frozenset({"_TRANSPORT", "_RESOLVE", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_SSL", "_AUTHENTICATION"})
_ATTEMPTS_PER_NAME = 4
# Waiting longer does not help against these.
_HOPELESS = frozenset({"_SSL", "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"})


class Cluster:
    """The cluster a command talks to. Nothing is connected before the first call."""

    def __init__(self, properties: Mapping[str, str], timeout_s: float) -> None:
        self.properties = dict(properties)
        self.timeout_s = timeout_s
        self._admin: AdminClient | None = None
        self._errors: deque[KafkaError] = deque(maxlen=50)
        self._lost = False

    @property
    def bootstrap(self) -> str:
        """The addresses to begin with, as given."""
        return self.properties["bootstrap.servers"]

    # -- clients ---------------------------------------------------------------------------------------------------

    @property
    def admin(self) -> "AdminClient":
        """The admin client, connected: some broker has answered. CliError where none does in time."""
        if self._admin is None:
            with _client_library():
                from confluent_kafka.admin import AdminClient
            admin = self._make(AdminClient, {"allow.auto.create.topics": "false"})
            self._admin = admin
            self.wait(admin.describe_cluster(request_timeout=self.timeout_s), "reach the cluster")
        return self._admin

    def producer(self, properties: Mapping[str, str]) -> "Producer":
        """A producer; -X properties win over `properties`."""
        with _client_library():
            from confluent_kafka import Producer
        return self._make(Producer, properties)

    def consumer(self, properties: Mapping[str, str], **callbacks: Any) -> "Consumer":
        """A consumer; -X properties win over `properties`."""
        with _client_library():
            from confluent_kafka import Consumer
        return self._make(Consumer, properties, **callbacks)

    def _make(self, kind: Callable[[dict[str, Any]], T], defaults: Mapping[str, str], **extra: Any) -> T:
        """A client of `kind`, silent on stderr unless debugging was asked for: what matters comes as an error."""
        config: dict[str, Any] = {"client.id": "moldau-cli", **defaults, **self.properties, **extra}
        if "debug" not in config and "log_level" not in config:
            config["log_level"] = "0"
        config.setdefault("socket.connection.setup.timeout.ms", str(max(1000, round(self.timeout_s * 1000))))
        config["error_cb"] = self._on_error
        if "delivery.report.only.error" in config:  # the one property the Python client reads itself
            config["delivery.report.only.error"] = config["delivery.report.only.error"] == "true"
        try:
            return kind(config)
        except Exception as error:
            raise CliError(f"client properties: {_first_error_text(error)}", EXIT_USAGE) from None

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, future: "Future[T]", doing: str) -> T:
        """The result of an admin call, at most `timeout_s` from now. KafkaException is left to the caller.

        Ends early where waiting is no use: every broker refuses, or the credentials are wrong.
        """
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                return future.result(max(0.0, min(_LOOK_S, deadline - time.monotonic())))
            except FutureTimeoutError:
                pass
            except Exception as error:
                if _error_name(error) in _CONNECTION_ERRORS:
                    raise self.unreachable(doing) from None
                raise
            self._look_at_connection(doing)
            if time.monotonic() >= deadline:
                raise self.unreachable(doing)

    def wait_all(self, futures: "Mapping[Any, Future[T]]", doing: str) -> dict[Any, T | Exception]:
        """The results of several calls, or the exception of each that failed."""
        results: dict[Any, T | Exception] = {}
        for key, future in futures.items():
            try:
                results[key] = self.wait(future, doing)
            except CliError:
                raise
            except Exception as error:
                results[key] = error
        return results

    def _look_at_connection(self, doing: str) -> None:
        """Serve the error callback and end the wait where nothing can come of it."""
        if self._admin is not None:
            self._admin.poll(0)
        names = {error.name() for error in self._errors}
        if names & _HOPELESS or (self._lost and len(self._errors) >= attempts_needed(self.bootstrap)):
            raise self.unreachable(doing)

    def poll_errors(self) -> None:
        """CliError where a producer's or consumer's error callback reported what waiting cannot mend."""
        for error in self._errors:
            if error.fatal() or error.name() in _HOPELESS:
                raise CliError(self._why(error))

    def _on_error(self, error: "KafkaError") -> None:
        """A client's report about its connections; repeated for each attempt, except that all brokers are down."""
        if error.name() == "_ALL_BROKERS_DOWN":
            self._lost = True
        else:
            self._errors.append(error)

    def connection_lost(self) -> bool:
        """Whether a client reported since the last call that no broker can be reached."""
        lost, self._lost = self._lost, False
        return lost

    def probe(self) -> None:
        """CliError where no broker answers now, whatever was reported before."""
        self._errors.clear()
        self._lost = False
        self.wait(self.admin.describe_cluster(request_timeout=self.timeout_s), "reach the cluster")

    def unreachable(self, doing: str) -> CliError:
        """The error for a cluster that does not answer: what was tried, why it failed, what to do next."""
        if self._admin is not None:
            self._admin.poll(0)
        causes = [error for error in self._errors if error.name() != "_TIMED_OUT"]
        hopeless = [error for error in causes if error.name() in _HOPELESS]
        if hopeless:
            return CliError(f"{self.bootstrap}: {self._why(hopeless[-1])}")
        if not causes:
            return CliError(
                f"no answer from {self.bootstrap} within {self.timeout_s:g} s. Is it a Kafka broker, and the right "
                "protocol (TLS, SASL: see -X security.protocol=...)? --timeout waits longer."
            )
        reason = _short_reason(causes[-1].str())
        if "SSL" in reason:
            return CliError(f"{self.bootstrap}: TLS failed ({reason}); check -X security.protocol and ssl.*")
        if "Invalid response size" in reason:
            return CliError(f"what answers at {self.bootstrap} does not speak the Kafka protocol, or wants TLS")
        if advertised := self._advertised(causes[-1].str()):
            return CliError(
                f"{self.bootstrap} answered, but the address it advertises, {advertised}, does not ({reason}): "
                "set the broker's advertised.listeners to an address this machine can reach."
            )
        return CliError(
            f"no broker at {self.bootstrap} ({reason}). Start one with 'moldau serve', "
            "or name another with -b HOST:PORT."
        )

    def _advertised(self, text: str) -> str:
        """The address, where an error is about a broker learned from the cluster ("host:port/7"), not a bootstrap address."""
        address, slash, broker = text.split(": ", 1)[0].rpartition("/")
        return address if slash and broker.isdigit() else ""

    def _why(self, error: "KafkaError") -> str:
        if error.name() in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"):
            return f"authentication failed ({_short_reason(error.str())}); check -X sasl.* or the context"
        if error.name() == "_SSL":
            return f"TLS failed ({_short_reason(error.str())}); check -X security.protocol and ssl.*"
        return _short_reason(error.str())

    # -- questions many commands ask -------------------------------------------------------------------------------

    def metadata(self) -> "ClusterMetadata":
        """All topics and brokers."""
        admin = self.admin
        try:
            return admin.list_topics(timeout=self.timeout_s)
        except Exception as error:
            if _error_name(error) in _CONNECTION_ERRORS:
                raise self.unreachable("list the topics") from None
            raise

    def partitions(self, topics: Iterable[str]) -> dict[str, list[int]]:
        """The partitions of each topic. CliError that suggests the nearest names for one that does not exist."""
        wanted = list(dict.fromkeys(topics))
        if not wanted:
            return {}
        admin = self.admin
        from confluent_kafka import TopicCollection

        try:
            futures = admin.describe_topics(TopicCollection(wanted), request_timeout=self.timeout_s)
        except ValueError as error:
            raise CliError(str(error), EXIT_USAGE) from None
        found: dict[str, list[int]] = {}
        for name, result in self.wait_all(futures, "describe the topics").items():
            if isinstance(result, Exception):
                raise self.topic_error(name, result)
            found[name] = sorted(partition.id for partition in result.partitions)
        return found

    def check_partition(self, topic: str, partition: int, known: list[int]) -> None:
        """CliError where `topic` has no such partition."""
        if partition not in known:
            there = "only partition 0" if known == [0] else f"partitions 0 to {len(known) - 1}"
            raise CliError(f"topic {topic!r} has {there}, not {partition}", EXIT_USAGE)

    def topic_error(self, name: str, error: Exception) -> CliError:
        """What to say about a failure that concerns one topic."""
        if _error_name(error) in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"):
            known = [topic for topic in self.metadata().topics if not topic.startswith("__")]
            hint = (
                did_you_mean(name, known)
                or " 'moldau topic list' shows those there are, 'moldau topic create' makes one."
            )
            return CliError(f"there is no topic {name!r}.{hint}")
        return CliError(f"topic {name!r}: {_first_error_text(error)}")

    def beginnings(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset of each partition."""
        return self._offsets(partitions, lambda spec: spec.earliest())

    def ends(self, partitions: Iterable[Partition], read_committed: bool = False) -> dict[Partition, int]:
        """The offset after the last record of each partition, or with `read_committed` the last stable offset."""
        return self._offsets(partitions, lambda spec: spec.latest(), read_committed)

    def at_time(self, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int]:
        """The offset of the first record at or after a time in each partition, -1 where there is none."""
        return self._offsets(partitions, lambda spec: spec.for_timestamp(time_ms))

    def _offsets(
        self, partitions: Iterable[Partition], spec_of: Callable[[Any], Any], read_committed: bool = False
    ) -> dict[Partition, int]:
        admin = self.admin
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import OffsetSpec

        spec = spec_of(OffsetSpec)
        wanted = {TopicPartition(topic, partition): spec for topic, partition in partitions}
        if not wanted:
            return {}
        level = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        futures = admin.list_offsets(wanted, isolation_level=level, request_timeout=self.timeout_s)
        found: dict[Partition, int] = {}
        for where, result in self.wait_all(futures, "list offsets").items():
            if isinstance(result, Exception):
                raise CliError(f"{where.topic} partition {where.partition}: {_first_error_text(result)}")
            found[(where.topic, where.partition)] = result.offset
        return found

    def committed(self, group: str, partitions: "list[TopicPartition] | None" = None) -> dict[Partition, int]:
        """The offsets a group has committed; only those it has."""
        admin = self.admin
        from confluent_kafka import ConsumerGroupTopicPartitions

        request = ConsumerGroupTopicPartitions(group, partitions)
        futures = admin.list_consumer_group_offsets([request], request_timeout=self.timeout_s)
        result = self.wait(futures[group], "list the group's offsets")
        found: dict[Partition, int] = {}
        for where in result.topic_partitions or ():
            if where.error is not None:
                raise CliError(f"{where.topic} partition {where.partition}: {where.error.str()}")
            if where.offset >= 0:
                found[(where.topic, where.partition)] = where.offset
        return found


def attempts_needed(bootstrap: str) -> int:
    """After how many failed connections it is plain that no broker is there.

    An address is plain at once. A name may stand for several addresses (localhost: ::1 and 127.0.0.1), which the
    client tries one after the other, about twenty in a second.
    """
    attempts = 0
    for server in bootstrap.split(","):
        host = server.rpartition("://")[2].rpartition(":")[0] or server
        numeric = host.startswith("[") or host.replace(".", "").isdigit()
        attempts += 1 if numeric else _ATTEMPTS_PER_NAME
    return attempts


def told(error: BaseException) -> CliError | None:
    """A client library's exception as one line for people; None for any other exception (a bug of ours)."""
    import sys

    library = sys.modules.get("confluent_kafka")
    if library is None or not isinstance(error, library.KafkaException):
        return None
    return CliError(_first_error_text(error))


def error_name(error: object) -> str:
    """The Kafka name of an exception's error, such as ``UNKNOWN_TOPIC_OR_PART``; empty for other exceptions."""
    return _error_name(error)


def error_text(error: object) -> str:
    """The broker's or the client library's own words for an exception."""
    return _first_error_text(error)


@contextlib.contextmanager
def _client_library() -> Iterator[None]:
    """Turn a missing client package into the line that says how to install it."""
    try:
        yield
    except ImportError:
        raise missing_extra() from None


def _error_name(error: object) -> str:
    args = getattr(error, "args", ())
    name = getattr(args[0], "name", None) if args else None
    return str(name()) if callable(name) else ""


def _first_error_text(error: object) -> str:
    args = getattr(error, "args", ())
    text = getattr(args[0], "str", None) if args else None
    return str(text()) if callable(text) else str(error)


def _short_reason(text: str) -> str:
    """librdkafka's words without its bookkeeping: "...: Connection refused (after 0ms in state CONNECT)"."""
    text = text.split(" (after ", 1)[0]
    parts = text.split(": ")
    if parts and "/" in parts[0]:
        parts = parts[1:]  # "127.0.0.1:9092/bootstrap"
    if len(parts) > 1 and parts[0].startswith("Connect to"):
        parts = parts[1:]
    return ": ".join(parts) or text
