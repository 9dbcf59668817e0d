"""What a broker is started with: every broker key, its value, and where the value came from.

Precedence, the strongest first: command-line flag, `--set`, environment, file, default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import environment, properties, stores
from .errors import ConfigError, InvalidValue
from .key import ConfigKey
from .listeners import Listeners
from .table import CASCADES, broker_keys, topic_keys
from .values import Value

DEFAULT: Final = "default"
COMMAND_LINE: Final = "command line"


class Entry:
    """One key's value. `text` is as it was given, `source` is `default` or says where it came from."""

    __slots__ = ("source", "text", "value")

    def __init__(self, value: Value, text: str | None, source: str) -> None:
        self.value = value
        self.text = text
        self.source = source


class Settings:
    """Made by `load`; does not change. `settings[key]` follows Kafka's cascades, `entry(key)` is the key alone."""

    __slots__ = ("_given", "listeners")

    def __init__(self, given: dict[str, Entry], listeners: Listeners) -> None:
        self._given = given
        self.listeners = listeners

    @classmethod
    def load(
        cls,
        file: str | os.PathLike[str] | None = None,
        sets: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        flags: Mapping[str, str] | None = None,
    ) -> Settings:
        """Read and check everything. `sets` are KEY=VALUE, `flags` keys with values. Raises ConfigError with all problems."""
        env = os.environ if env is None else env
        keys = broker_keys()
        problems: list[str] = []
        texts: dict[str, tuple[str, str]] = {}

        def take(key: str, text: str, source: str) -> None:
            problem = unknown(key, keys, source) if of_listener(key) is None else None
            if problem:
                problems.append(problem)
            else:
                texts[key] = (text, source)

        if file is not None:
            for key, text, source in _read(file, problems):
                take(key, text, source)
        for key, text, name in environment.settings_in(env, keys):
            take(key, text, f"environment {name}")
        for each in sets:
            key, equals, text = each.partition("=")
            if equals:
                take(key.strip(), text.strip(), "--set")
            else:
                problems.append(f"--set {each}: expected --set KEY=VALUE")
        for key, text in (flags or {}).items():
            take(key, text, COMMAND_LINE)

        given: dict[str, Entry] = {}
        for key, (text, source) in texts.items():
            try:
                key_facts = keys[(of_listener(key) or ("", key))[1]]
                value = key_facts.parse(text)
                if key == "log.dirs" and source == COMMAND_LINE:
                    value = (text,)  # a path from the shell may hold a comma
                given[key] = Entry(value, text, source)
            except InvalidValue as error:
                problems.append(f"{source}: {key_facts.invalid(text, error)}")
        _same_id(given, problems)
        _data_dir(given, env, problems)
        settings = cls(given, Listeners())
        try:
            settings.listeners = Listeners.parse(
                settings.get_list("listeners"),
                settings.get_list("advertised.listeners"),
                settings.get_str("listener.security.protocol.map"),
                settings.get_list("controller.listener.names"),
            )
        except ConfigError as error:
            problems += error.problems
        _known_listeners(given, settings.listeners, problems)
        _consistent(settings, problems)
        if problems:
            raise ConfigError(problems)
        return settings

    def entry(self, key: str) -> Entry:
        """The key's own value, without cascades."""
        entry = self._given.get(key)
        if entry is None:
            config_key = broker_keys()[key]
            entry = Entry(config_key.default_value(), config_key.default, DEFAULT)
        return entry

    def default_text(self, key: str) -> str | None:
        """The key's default; of `log.dir` the platform's folder."""
        entry = self._given.get(key)
        return entry.text if entry is not None and entry.source == DEFAULT else broker_keys()[key].default

    def given(self) -> list[tuple[str, Entry]]:
        """Everything that is not a default."""
        return [(key, entry) for key, entry in self._given.items() if entry.source != DEFAULT]

    def __getitem__(self, key: str) -> Any:
        if key not in CASCADES:
            return self.entry(key).value
        for name, factor in CASCADES[key]:
            value = self.entry(name).value
            if value is not None:
                return scaled(value, factor)
        return None

    def get_int(self, key: str) -> int:
        """A whole number that is never null."""
        value = self[key]
        assert type(value) is int, f"{key} is {value!r}"
        return value

    def get_float(self, key: str) -> float:
        """A decimal number."""
        value = self[key]
        assert type(value) is float, f"{key} is {value!r}"
        return value

    def get_bool(self, key: str) -> bool:
        """A boolean."""
        value = self[key]
        assert type(value) is bool, f"{key} is {value!r}"
        return value

    def get_str(self, key: str) -> str:
        """Text; null is the empty string."""
        value = self[key]
        assert value is None or type(value) is str, f"{key} is {value!r}"
        return value or ""

    def get_list(self, key: str) -> tuple[str, ...]:
        """A list; null is the empty one."""
        value = self[key]
        assert value is None or type(value) is tuple, f"{key} is {value!r}"
        return value or ()

    def of_listeners(self, key: str) -> dict[str, Any]:
        """The values of `listener.name.NAME.KEY` by listener name, where they are set."""
        found = {}
        for name, entry in self._given.items():
            parts = of_listener(name)
            if parts is not None and parts[1] == key:
                found[parts[0]] = entry.value
        return found

    @property
    def node_id(self) -> int:
        """`node.id`, or `broker.id` where only that is given."""
        node_id: int = self["node.id"]
        return node_id

    @property
    def data_dir(self) -> Path:
        """The one folder of `log.dirs`."""
        return Path(self["log.dirs"][0])


def scaled(value: Value, factor: int) -> Value:
    """A value of a cascade in the first key's unit; below 0 is no limit in any unit."""
    if type(value) is not int:
        return value
    return -1 if value < 0 else value * factor


LISTENER_PREFIX: Final = "listener.name."
LISTENER_KEYS: Final = ("max.connections",)
"""Keys that may be set for a single listener (KIP-402)."""


def of_listener(key: str) -> tuple[str, str] | None:
    """(listener name in upper case, key) of a setting for a single listener that is known."""
    if not key.startswith(LISTENER_PREFIX):
        return None
    name, _, rest = key.removeprefix(LISTENER_PREFIX).partition(".")
    return (name.upper(), rest) if name and rest in LISTENER_KEYS else None


def unknown(key: str, keys: Mapping[str, ConfigKey], source: str) -> str | None:
    """What is wrong with a key that is not in the table."""
    if key in keys:
        return None
    if key.startswith(LISTENER_PREFIX):
        return f"{source}: {key}: what can be set for a single listener is {' and '.join(LISTENER_KEYS)}"
    if key in topic_keys():
        synonym = topic_keys()[key].synonym
        return f"{source}: {key} is a topic's setting" + (f"; the broker's is {synonym}" if synonym else "")
    import difflib  # only where something is wrong

    near = difflib.get_close_matches(key, keys, 1, 0.6)
    return f"{source}: there is no setting {key}." + (f" Did you mean {near[0]}?" if near else "")


def _read(file: str | os.PathLike[str], problems: list[str]) -> list[tuple[str, str, str]]:
    name = os.fspath(file)
    try:
        text = Path(name).read_text("utf-8")
        return [(key, value, f"{name}:{line}") for key, value, line in properties.parse(text)]
    except OSError as error:
        problems.append(f"{name}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{name}: byte {error.start} is not UTF-8")
    except properties.PropertiesError as error:
        problems.append(f"{name}: {error}")
    return []


def _same_id(given: dict[str, Entry], problems: list[str]) -> None:
    node, broker = given.get("node.id"), given.get("broker.id")
    if node is None and broker is not None and isinstance(broker.value, int):
        if broker.value < 0:
            problems.append(f"{broker.source}: broker.id: {broker.text} came, expected a number of at least 0")
        given["node.id"] = broker
    elif node is not None and broker is None:
        given["broker.id"] = node
    elif node is not None and broker is not None and node.value != broker.value:
        problems.append(f"{broker.source}: broker.id {broker.text} is not node.id {node.text}; one of them is enough")


def _known_listeners(given: dict[str, Entry], listeners: Listeners, problems: list[str]) -> None:
    names = [listener.name for listener in (*listeners.bound, *listeners.set_aside)]
    for key, entry in given.items():
        parts = of_listener(key)
        if parts is not None and names and parts[0] not in names:
            problems.append(f"{entry.source}: {key}: there is no listener {parts[0]}; there is {', '.join(names)}")


def _data_dir(given: dict[str, Entry], env: Mapping[str, str], problems: list[str]) -> None:
    for key in ("log.dirs", "log.dir"):
        entry = given.get(key)
        if entry is not None:
            if not isinstance(entry.value, tuple) or len(entry.value) != 1:
                problems.append(f"{entry.source}: {key}: {entry.text or 'nothing'} came, expected exactly one folder")
            return
    folder = environment.default_data_dir(env)
    given["log.dir"] = Entry((folder,), folder, DEFAULT)


def _consistent(settings: Settings, problems: list[str]) -> None:
    """What Kafka checks across keys (KafkaConfig.validateValues), as far as the keys act."""

    def at_most(low: str, high: str) -> None:
        if settings[low] > settings[high]:
            problems.append(f"{low}={settings[low]} is above {high}={settings[high]}")

    at_most("group.min.session.timeout.ms", "group.max.session.timeout.ms")
    if any(name.startswith("group.") for name, _ in settings.given()):
        from .group import check_broker

        check_broker(settings, problems)
    stores.check(settings["moldau.metadata.url"], settings["moldau.blobs.url"], problems)
    limit = settings["queued.max.request.bytes"]
    if 0 < limit < settings["socket.request.max.bytes"]:
        problems.append(
            f"queued.max.request.bytes={limit} is below socket.request.max.bytes={settings['socket.request.max.bytes']}:"
            " no such request could ever be taken"
        )
