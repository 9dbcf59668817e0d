"""Text as PostgreSQL keeps it: it refuses U+0000, which names and metadata of Kafka's clients may hold."""

from __future__ import annotations

_ESCAPE = "\ufffe"
"""A code point that stands for no character."""


def escape(text: str) -> str:
    """U+0000 becomes U+FFFE and "0", U+FFFE becomes U+FFFE and "1"."""
    if "\0" in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPE + "1").replace("\0", _ESCAPE + "0")
    return text


def unescape(text: str) -> str:
    if _ESCAPE in text:
        return text.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE)
    return text
