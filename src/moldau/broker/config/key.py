"""One configuration key: what Kafka says of it, and where it stands here.

Standings:

    acts         does what Kafka's documentation says (the range of values may be narrower)
    fixed        the design has decided it; a value is taken and shown, or refused where taking it would mislead
    no_meaning   belongs to something that does not exist here; taken, shown, without effect
    not_yet      comes with a later release; any value but the default is refused
"""

from __future__ import annotations

from typing import Final

from . import reasons, values
from .errors import InvalidValue
from .values import Value

ACTS: Final = "acts"
FIXED: Final = "fixed"
NO_MEANING: Final = "no_meaning"
NOT_YET: Final = "not_yet"
STANDINGS: Final = (ACTS, FIXED, NO_MEANING, NOT_YET)

BROKER: Final = "broker"
TOPIC: Final = "topic"
GROUP: Final = "group"
CLIENT_METRICS: Final = "client-metrics"
SCOPES: Final = (BROKER, TOPIC, GROUP, CLIENT_METRICS)

READ_ONLY: Final = "read-only"
PER_BROKER: Final = "per-broker"
CLUSTER_WIDE: Final = "cluster-wide"
MODES: Final = (READ_ONLY, PER_BROKER, CLUSTER_WIDE)

IMPORTANCE: Final = {"H": "high", "M": "medium", "L": "low"}


class ConfigKey:
    """A row of the table.

    `default` is text, None where Kafka has null. `valid` is the compact form that `values.check` reads. `mode` is how the
    value may change while the broker runs (broker keys only). `synonym` is the broker key whose value a topic or group
    inherits, or None. `reason` is a name in `reasons`, for every standing but `acts`. `internal` keys are shown only
    where they are set, as in Kafka.
    """

    __slots__ = (
        "default",
        "doc",
        "importance",
        "internal",
        "mode",
        "name",
        "reason",
        "scope",
        "standing",
        "synonym",
        "type",
        "valid",
    )

    def __init__(
        self,
        name: str,
        scope: str,
        type: str,
        default: str | None,
        valid: str,
        mode: str,
        synonym: str | None,
        importance: str,
        internal: bool,
        standing: str,
        reason: str,
        doc: str,
    ) -> None:
        self.name = name
        self.scope = scope
        self.type = type
        self.default = default
        self.valid = valid
        self.mode = mode
        self.synonym = synonym
        self.importance = importance
        self.internal = internal
        self.standing = standing
        self.reason = reason
        self.doc = doc

    @property
    def sensitive(self) -> bool:
        """Whether the value is a secret and never shown."""
        return self.type == values.PASSWORD

    @property
    def why(self) -> str:
        """Why the key does not act; empty if it does."""
        return reasons.REASONS[self.reason] if self.reason else ""

    @property
    def dynamic(self) -> bool:
        """Whether a broker key may change while the broker runs."""
        return self.mode != READ_ONLY

    def default_value(self) -> Value:
        """The default, parsed."""
        return None if self.default is None else values.parse(self.type, self.default)

    def parse(self, text: str) -> Value:
        """The value that `text` stands for. Raises InvalidValue: wrong form, out of range, or refused by the standing."""
        value = values.parse(self.type, text)
        if self.valid:
            if self.valid == values.ONLY_DEFAULT:
                if value != self.default_value():
                    raise InvalidValue(f"only {self.default or 'no value'} works here. {self.why}")
            else:
                values.check(self.type, self.valid, value)
        if self.standing == NOT_YET and value != self.default_value():
            raise InvalidValue(f"only the default {self.default or 'of no value'} works so far. {self.why}")
        return value

    def invalid(self, text: str, error: InvalidValue) -> str:
        """The message for a value that `parse` refused; a secret is not repeated."""
        shown = "[hidden]" if self.sensitive else text
        return f"Invalid value {shown} for configuration {self.name}: {error}"

    def __repr__(self) -> str:
        return f"ConfigKey({self.scope} {self.name})"
