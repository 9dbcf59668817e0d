"""docs/configuration.md: how settings are given, and every key with its type, default and standing."""

from __future__ import annotations

from collections.abc import Iterable

from moldau.broker.config import values
from moldau.broker.config.environment import RESERVED, RESERVED_PREFIXES
from moldau.broker.config.key import ACTS, FIXED, NO_MEANING, NOT_YET, ConfigKey
from moldau.broker.config.table import broker_keys, client_metrics_keys, group_keys, topic_keys

INTRODUCTION = """\
# Configuration

Written by `python -m tools.docs` from `moldau.broker.config`.

A broker starts without any configuration. What it is told comes, the strongest first, from

1. a flag of the command line: `moldau serve --data DIR` is `log.dirs`;
2. `moldau serve --set KEY=VALUE`, as often as needed;
3. the environment: `MOLDAU_` and the key in upper case with underscores for dots, so `MOLDAU_LOG_RETENTION_MS` is
   `log.retention.ms`; of our own keys the prefix stands only once, so `MOLDAU_HTTP_LISTENER` is `moldau.http.listener`;
4. a file, `moldau serve --config server.properties`, in the format of Java's property files: Kafka's own files can be used;
5. the default.

While the broker runs, `moldau config` and every other Kafka client can change the keys that say `cluster-wide` or
`per-broker` below, and those of topics. A value for one broker wins over a value for all of them, and that over
everything above.

An unknown key is an error that names the nearest known one. Every key of Apache Kafka 4.4 is known, and each stands in one
of four ways:

- **acts**: it does what Kafka's does;
- **fixed**: the design has decided it. A value is taken and shown, or refused where that would mislead;
- **no meaning**: it belongs to something that does not exist here. A value is taken and shown, and changes nothing;
- **not yet**: it comes with a later release. Any value but the default is refused.

Where nothing is set, data are in `$XDG_STATE_HOME/moldau`, which is `~/.local/state/moldau` if that variable is not set,
and on macOS in `~/Library/Application Support/moldau`. Sizes are in bytes; a key's last word says its unit.
"""

LISTENERS = """\
## Listeners

`listeners` is a comma-separated list of `NAME://HOST:PORT`. The name is a security protocol, or any word that
`listener.security.protocol.map` gives one to; PLAINTEXT is the only protocol served so far. An empty host is every
interface, an IPv6 address stands in brackets, and port 0 takes any free port. Names are unique, and so are ports, except
that an IPv4 and an IPv6 address may share one.

`advertised.listeners` says what clients are told to connect to, where that differs: behind a proxy or in a container. Every
name in it is one of `listeners`; a listener that is not in it tells its own address, or the machine's name where its host is
empty. A client is told the address of the listener it came in by. `0.0.0.0` and `[::]` are no addresses to connect to, so
they need an entry here.

A host that is a name is bound on every address that it resolves to: `localhost` is 127.0.0.1 and ::1, for there are clients
that try ::1 first. `listener.name.NAME.max.connections` limits a single listener.

A listener that other machines can reach is announced by a warning, since nobody is asked who they are.

Listeners that `controller.listener.names` claims are not opened: there are no controllers. So a `server.properties` that
ran Kafka in KRaft mode runs here.
"""

DIFFERENCES = """\
## What DescribeConfigs shows otherwise than Apache Kafka

The answers for topics, brokers, the cluster's default and groups were compared with those of Apache Kafka 4.4.0 under the
same settings: names, values, sources, synonyms, types and flags are the same, but for these.

| key | Apache Kafka | here |
|---|---|---|
| `max.decompressed.message.bytes` | 2147483639 | 268435456: what one request may take of the memory is bounded |
| `group.coordinator.rebalance.protocols` | classic, consumer, streams | the protocols that are served |
| `listeners` | every interface by default; may change while the broker runs | loopback by default; read-only |
| `listener.security.protocol.map` | may change while the broker runs | read-only |
| `config.providers` | may change while the broker runs | read-only: there are none |
| `node.id`, `process.roles`, `controller.listener.names` | must be set | have a default, which is listed as a synonym |
| `log.dir` | `/tmp/kafka-logs` | the platform's state folder; nothing when `log.dirs` is set |
| `log.retention.hours`, `log.retention.minutes` | fall back to the default when `log.retention.ms` is set dynamically | keep showing what they were set to |
| `log.cleaner.backoff.ms` | how long the cleaner sleeps when there is nothing to clean | how long it sleeps between two looks at all partitions |
| `log.cleaner.dedupe.buffer.size` | 24 bytes a key, shared by the threads; below 1 MiB refused | about 100 bytes a key and the key itself; below 1 MiB taken as 1 MiB |
| keys that begin with `moldau.` | | our own |

When configurations are altered:

| case | Apache Kafka | here |
|---|---|---|
| an unknown key of a broker or group | a broker's is stored | INVALID_CONFIG |
| a key that is *not yet* served, with another value than its default | acts | INVALID_CONFIG; INVALID_REQUEST for a broker |
| `log.cleaner.threads=0` and the like | UNKNOWN_SERVER_ERROR from a division by zero | taken: it has no meaning |
"""


def page() -> str:
    """The whole page."""
    brokers = broker_keys()
    own = [key for name, key in brokers.items() if name.startswith("moldau.")]
    kafkas = [key for name, key in brokers.items() if not name.startswith("moldau.")]
    parts = [
        INTRODUCTION,
        LISTENERS,
        "## Our own keys\n",
        _table(own),
        "## Keys of the broker that act\n",
        _table(_standing(kafkas, ACTS)),
        "## Keys of topics that act\n",
        "A topic inherits what it does not set itself.\n",
        _table(_standing(topic_keys().values(), ACTS), "inherits from"),
    ]
    for standing, title in (
        (FIXED, "fixed by the design"),
        (NO_MEANING, "without a meaning here"),
        (NOT_YET, "not served yet"),
    ):
        for scope, keys in (("the broker", kafkas), ("topics", list(topic_keys().values()))):
            rows = _standing(keys, standing)
            if rows:
                parts += [
                    f"## Keys of {scope} {title}\n",
                    _table(rows, "inherits from" if scope == "topics" else "changes"),
                ]
    parts += [
        "## Keys of groups\n",
        _table(group_keys().values(), "inherits from"),
        "## Keys of client-metrics subscriptions\n",
        _table(client_metrics_keys().values(), ""),
        "## Environment variables that are no settings\n",
        f"{', '.join(f'`{name}`' for name in sorted(RESERVED))}, and everything that begins with"
        f" {', '.join(f'`{prefix}`' for prefix in RESERVED_PREFIXES)}.\n",
        DIFFERENCES,
    ]
    return "\n".join(parts)


def _standing(keys: Iterable[ConfigKey], standing: str) -> list[ConfigKey]:
    return [key for key in keys if key.standing == standing]


def _table(keys: Iterable[ConfigKey], fifth: str = "changes") -> str:
    """`fifth` is the head of the column with the update mode or the broker key; empty leaves it out."""
    rows = [["key", "type", "default", "valid", *([fifth] if fifth else []), "what it is"]]
    rows.append(["---"] * len(rows[0]))
    for key in keys:
        mode = [f"`{key.synonym}`" if key.synonym else key.mode] if fifth else []
        rows.append(
            [f"`{key.name}`", key.type, _default(key), _valid(key), *mode, _prose(f"{key.doc} {key.why}".rstrip())]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _default(key: ConfigKey) -> str:
    if key.default is None:
        return ""
    if not key.default:
        return "empty"
    value = key.default.replace(",", ", ") if key.type == values.LIST or len(key.default) > 40 else key.default
    return f"`{value}`"


def _valid(key: ConfigKey) -> str:
    words = {
        "": "",
        values.ONLY_DEFAULT: "the default",
        "!": "not empty",
        "nonzero": "not 0",
        "address": "host:port, or empty",
        "hosts": "host:count pairs",
        "replicas": "partition:broker pairs, or \\*",
    }
    if key.valid in words:
        return words[key.valid]
    if ".." in key.valid:
        span, _, other = key.valid.partition("|")
        low, _, high = span.partition("..")
        return (f"{low} to {high}" if high else f"{low} or more") + (f", or {other}" if other else "")
    return key.valid.lstrip("~").replace(",", ", ")


def _prose(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
