"""What PostgreSQL and the connection to it say, in the words of the port."""

from __future__ import annotations

import asyncpg

from ..errors import StoreCorrupt, StoreError, StoreUnavailable

_NOT_COMMITTED = ("40001", "40P01", "55P03", "0A000", "25006", "57014", "22012")
"""SQLSTATEs of a statement that surely did nothing and may do it when tried again: serialization, deadlock, lock time-out, a plan that a
migration made stale, a server that became a standby, statement time-out, and the append's own division by zero.
"""
_CORRUPT = ("22", "23", "42", "XX001", "XX002")
"""Rows contradict what was to be written, or are not readable, or tables are not as they must be."""


_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when a statement or its connection fails; the last where it dies between two steps of a statement."""


class InDoubt(StoreUnavailable):
    """The commit was sent; its answer never came, or says that it may not be replicated."""


class TryAgain(StoreUnavailable):
    """Nothing was done, and the next try may succeed."""


def store_error(error: BaseException, what: str, *, committing: bool) -> StoreError:
    """`committing`: the statement commits by itself, so that a lost connection leaves it in doubt."""
    if isinstance(error, StoreError):
        return error
    text = f"{what}: {_say(error)}"
    made: StoreError
    if isinstance(error, asyncpg.PostgresError) and _answered(error):
        state = error.sqlstate or ""
        if state in _NOT_COMMITTED:
            made = TryAgain(text)
        elif state.startswith(_CORRUPT) and state != "42501":  # that one says that we may not
            made = StoreCorrupt(text)
        elif state.startswith(("53", "57P03")):  # resources; it starts or stops
            made = TryAgain(text)
        else:
            made = StoreUnavailable(text)
    elif isinstance(error, ConnectRefused):
        made = TryAgain(text)
    elif isinstance(error, _LOST):
        made = InDoubt(text) if committing else TryAgain(text)
    else:
        raise error
    made.__cause__ = error
    return made


class ConnectRefused(Exception):
    """No connection was made, so nothing was sent."""


def is_worlds_fault(error: BaseException) -> bool:
    """Of the server or the way to it; else it is ours or the caller's."""
    return isinstance(error, (*_LOST, ConnectRefused))


def _answered(error: asyncpg.PostgresError) -> bool:
    """Whether the server said how the statement ended. Where it ends the connection (57P01 to 57P04, 08...), it did not."""
    state = error.sqlstate or ""
    return bool(state) and not state.startswith(("08", "57P01", "57P02", "57P04", "57P05", "25P03"))


def _say(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    state = getattr(error, "sqlstate", None)
    return f"{text} (SQLSTATE {state})" if state else text
