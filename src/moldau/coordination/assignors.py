"""Assignors by name: built-in ones, and those that other packages bring as entry points.

A package names its assignor for consumer groups in the entry point group `moldau.assignors.consumer`, for share groups in
`moldau.assignors.share`, for streams groups in `moldau.assignors.streams`; the entry point is a callable without arguments whose result is
the assignor. The broker's `group.consumer.assignors` and its relatives say which of them may be used. Nothing is imported before that.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_BUILT_IN: dict[tuple[str, str], str] = {
    ("consumer", "uniform"): "moldau.coordination.consumer.assignors.uniform:UniformAssignor",
    ("consumer", "range"): "moldau.coordination.consumer.assignors.range:RangeAssignor",
    ("share", "simple"): "moldau.coordination.share.simple:SimpleAssignor",
}
"""(type of group, name) to module:attribute."""

_loaded: dict[tuple[str, str], Any] = {}


class UnknownAssignor(Exception):
    """There is no assignor of that name."""


def assignor(type_name: str, name: str) -> Any:
    """The assignor of that name for groups of that type. Raises UnknownAssignor."""
    key = (type_name, name)
    found = _loaded.get(key)
    if found is None:
        found = _loaded[key] = _load(type_name, name)
    return found


def built_in(type_name: str) -> list[str]:
    return sorted(name for kind, name in _BUILT_IN if kind == type_name)


def is_known(type_name: str, name: str) -> bool:
    """Nothing is imported to find out."""
    return (type_name, name) in _BUILT_IN or bool(_entry_points(type_name, name))


def _load(type_name: str, name: str) -> Any:
    target = _BUILT_IN.get((type_name, name))
    if target is not None:
        module, _, attribute = target.partition(":")
        return getattr(import_module(module), attribute)()
    for entry in _entry_points(type_name, name):
        return entry.load()()
    raise UnknownAssignor(
        f"there is no assignor {name!r} for {type_name} groups; built in are {', '.join(built_in(type_name))}"
    )


def _entry_points(type_name: str, name: str) -> Any:
    """Imported late: it brings zipfile and tempfile, which a broker with built-in assignors does without."""
    from importlib.metadata import entry_points

    return entry_points(group=f"moldau.assignors.{type_name}", name=name)
