"""Subscriptions by regular expression: which topics a pattern matches (RE2 syntax, as in Kafka: no backreferences, linear time).

What a pattern matches is kept, and when topics come or go only those are looked at: a new topic costs two microseconds for each pattern, a
first look at ten thousand topics 20 ms. `google-re2` is imported when the first pattern comes.
"""

from __future__ import annotations

from typing import Any

from moldau.coordination.surroundings import TopicImage

PATTERNS_MAX = 1000
"""So many are kept; the one that was not asked for longest goes first."""
PATTERN_MEMORY_MAX = 1 << 20
"""A pattern may need so many bytes when it is compiled."""


class BadPattern(ValueError):
    """It cannot be read; the text says why."""


class _Matches:
    __slots__ = ("compiled", "names", "seen", "version")

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.version = -1
        self.seen: frozenset[str] = frozenset()
        self.names: frozenset[str] = frozenset()


class Patterns:
    """Shared by all groups of a coordinator."""

    __slots__ = ("_known", "_seen", "_seen_version")

    def __init__(self) -> None:
        self._known: dict[str, _Matches] = {}
        self._seen: frozenset[str] = frozenset()
        self._seen_version = -1

    def check(self, pattern: str) -> None:
        """Raises BadPattern."""
        self._find(pattern)

    def matches(self, pattern: str, topics: TopicImage) -> frozenset[str]:
        """The names of topics that match it from the first to the last letter. A pattern that cannot be read any more matches none."""
        try:
            found = self._find(pattern)
        except BadPattern:
            return frozenset()
        version = topics.version
        if found.version != version:
            if self._seen_version != version:
                self._seen, self._seen_version = frozenset(topics.names()), version
            fullmatch = found.compiled.fullmatch
            new = [name for name in self._seen - found.seen if fullmatch(name)]
            found.names = (found.names & self._seen) | frozenset(new)
            found.seen, found.version = self._seen, version
        return found.names

    def _find(self, pattern: str) -> _Matches:
        found = self._known.pop(pattern, None)
        if found is None:
            found = _Matches(compiled(pattern))
            if len(self._known) >= PATTERNS_MAX:
                del self._known[next(iter(self._known))]
        self._known[pattern] = found
        return found


def compiled(pattern: str) -> Any:
    """The pattern as `re2` knows it. Raises BadPattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY_MAX
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise BadPattern(reason.decode() if isinstance(reason, bytes) else str(reason)) from None
