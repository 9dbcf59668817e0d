"""`differences.toml`: in what our answers differ from Apache Kafka's, and why that is right.

Each `[[difference]]` has `about` (its heading in docs/differences.md), `scenario`, `path`, `why`, and where they help to be exact
`label` and `version` (patterns in which `*` stands for anything; a list is one of several), `kafka` and `ours` (the two values;
"absent" is what only the other side has). Those with `brokers` are there only when so many are asked.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from answers import Difference

TABLE = Path(__file__).resolve().parent / "differences.toml"
MISSING = object()


def matches(patterns: str | list[str], text: str) -> bool:
    return any(_matches(each, text) for each in ([patterns] if isinstance(patterns, str) else patterns))


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text, re.DOTALL) is not None


class Explanation:
    def __init__(self, number: int, entry: dict[str, Any]) -> None:
        unknown = entry.keys() - {"about", "scenario", "label", "path", "version", "kafka", "ours", "why", "brokers"}
        assert not unknown, f"difference {number} has unknown keys {sorted(unknown)}"
        missing = {"about", "scenario", "path", "why"} - entry.keys()
        assert not missing, f"difference {number} does not say {sorted(missing)}"
        self.number, self.entry = number, entry
        self.brokers: int | None = entry.get("brokers")

    def covers(self, d: Difference) -> bool:
        e = self.entry
        return (
            matches(e["scenario"], d.scenario)
            and matches(e.get("version", "*"), d.version)
            and matches(e.get("label", "*"), d.label)
            and matches(e["path"], d.path)
            and e.get("kafka", MISSING) in (MISSING, "absent" if d.kafka is None else d.kafka)
            and e.get("ours", MISSING) in (MISSING, "absent" if d.ours is None else d.ours)
        )

    def __str__(self) -> str:
        return f"difference {self.number}: {self.entry}"


def read(brokers: int) -> list[Explanation]:
    """Those that may be found where so many brokers are asked."""
    entries = tomllib.loads(TABLE.read_text()).get("difference", [])
    found = [Explanation(i + 1, entry) for i, entry in enumerate(entries)]
    return [each for each in found if each.brokers in (None, brokers)]
