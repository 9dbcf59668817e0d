"""What the protocol layer raises. Only `DecodeError` comes from a peer's bytes; the others are our own mistakes."""

from __future__ import annotations


class ProtocolError(Exception):
    """Base of everything the protocol layer raises."""


class DecodeError(ProtocolError):
    """Bytes that are not what the message and version say they are. The text says what came, what was due, where."""


class EncodeError(ProtocolError):
    """A value the wire cannot carry: out of range, null where it may not be, or in a version that has no such field."""


class UnsupportedVersionError(ProtocolError):
    """A message has no such version, or there is no such API."""
