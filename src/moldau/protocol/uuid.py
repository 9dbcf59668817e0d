"""Kafka's 16-byte ids of topics, members and directories, and their text: url-safe base64 without padding.

As in Kafka's `Uuid` class: the ids 0 and 1 are reserved, and a random id never begins with `-`, so that command lines
do not take it for an option.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Final

ZERO: Final = bytes(16)
ONE: Final = bytes(15) + b"\x01"  # Kafka's metadata topic
TEXT_LENGTH: Final = 22
_TO_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/  ")  # the standard's own + and / are no part of an id


def to_text(value: bytes) -> str:
    """`AAAAAAAAAAAAAAAAAAAAAA` for the zero id. Raises ValueError unless there are 16 bytes."""
    if len(value) != 16:
        raise ValueError(f"id {value!r} of {len(value)} bytes, expected 16")
    return base64.urlsafe_b64encode(value)[:TEXT_LENGTH].decode()


def from_text(text: str) -> bytes:
    """The 16 bytes that `text` stands for. Raises ValueError unless it is 22 characters of url-safe base64."""
    try:
        value = base64.b64decode(text.encode("ascii").translate(_TO_STANDARD) + b"==", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        value = b""
    if len(text) != TEXT_LENGTH or len(value) != 16:
        raise ValueError(f"id {text!r}, expected {TEXT_LENGTH} characters of url-safe base64")
    return value


def random() -> bytes:
    """A new version 4 id (RFC 9562) that is not reserved and whose text does not begin with `-`."""
    while True:
        raw = bytearray(os.urandom(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        if raw[0] >> 2 != 62:  # 62 is "-"
            return bytes(raw)
