"""Lengths of time as Java's Duration reads them: PnDTnHnMn.nS, where what is nought may be left out."""

from __future__ import annotations

import re
from typing import Final

from .errors import InvalidValue

FORM: Final = "PnDTnHnMn.nS"
_FORM = r"P(?:(\d+)D)?(T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{0,9}))?S)?)?"
_DIGITS_MOST = 15


def parse_duration(text: str) -> int:
    """In ms, rounded down. Raises InvalidValue."""
    found = re.fullmatch(_FORM, text, re.IGNORECASE)
    if found is None or len(text) > 4 * _DIGITS_MOST or text.upper() in ("P", "PT") or text.upper().endswith("T"):
        raise InvalidValue(f"expected a length of time of the form {FORM}, like P1DT12H or PT90S")
    days, _, hours, minutes, seconds, fraction = found.groups()
    whole = ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + int(seconds or 0)
    return whole * 1000 + int((fraction or "").ljust(3, "0")[:3])
