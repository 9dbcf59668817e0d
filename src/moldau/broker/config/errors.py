"""What goes wrong with configuration: at start (`ConfigError`), or in an answer to a client (`InvalidConfig`)."""

from __future__ import annotations

from collections.abc import Sequence

from moldau.protocol import error_codes


class ConfigError(Exception):
    """The broker cannot start with these settings; one line for each problem: the key, what came, what was expected."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class InvalidConfig(Exception):
    """A client asked for a configuration that is refused: `error_code` is INVALID_CONFIG or INVALID_REQUEST."""

    def __init__(self, message: str, error_code: int = error_codes.INVALID_CONFIG) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code


class InvalidValue(Exception):
    """A value that its key cannot take; the text says what was expected."""
