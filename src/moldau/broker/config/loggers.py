"""The BROKER_LOGGER resource: levels of loggers, under Kafka's (log4j's) names. Nothing is stored: a restart forgets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from moldau.protocol import error_codes

from .dynamic import APPEND, DELETE, SET, SUBTRACT, Operation, check_no_repeats
from .errors import InvalidConfig

ROOT: Final = "root"

LEVELS: Final = {"FATAL": 50, "ERROR": 40, "WARN": 30, "INFO": 20, "DEBUG": 10, "TRACE": 5}
"""Kafka's names and the levels of Python's `logging`."""

_NAMES: Final = {50: "FATAL", 40: "ERROR", 30: "WARN", 20: "INFO", 10: "DEBUG"}


def level_name(level: int) -> str:
    """Kafka's name of an effective level of `logging`."""
    for least, name in _NAMES.items():
        if level >= least:
            return name
    return "TRACE"


def alter_levels(known: Collection[str], operations: Sequence[Operation]) -> dict[str, int | None]:
    """The new level of each logger, None where it goes back to its parent's. Raises InvalidConfig (RuntimeLoggerManager).

    `known` are the names of the loggers that exist; `root` is always one.
    """
    check_no_repeats(name for name, _, _ in operations)
    changed: dict[str, int | None] = {}
    for name, operation, value in operations:
        if operation in (APPEND, SUBTRACT):
            word = "APPEND" if operation == APPEND else "SUBTRACT"
            raise InvalidConfig(f"{word} is not for broker loggers", error_codes.INVALID_REQUEST)
        if operation not in (SET, DELETE):
            raise InvalidConfig(f"Unknown operation type {operation}", error_codes.INVALID_REQUEST)
        if operation == DELETE and name == ROOT:
            raise InvalidConfig("The root logger's level cannot be removed", error_codes.INVALID_REQUEST)
        if operation == SET and value is None:
            raise InvalidConfig(f"Null value not supported for : {name}", error_codes.INVALID_REQUEST)
        if operation == SET and (value or "").upper() not in LEVELS:
            raise InvalidConfig(f"Invalid level {value} for logger {name}: expected one of {', '.join(LEVELS)}")
        if name != ROOT and name not in known:
            raise InvalidConfig(f"Logger {name} does not exist")
        changed[name] = LEVELS[(value or "").upper()] if operation == SET else None
    return changed


def levels_now(loggers: Mapping[str, int]) -> list[tuple[str, str]]:
    """(name, Kafka's level name) of loggers with their effective levels, sorted by name."""
    return [(name, level_name(level)) for name, level in sorted(loggers.items())]
