"""Message classes by API key, imported when they are first asked for: a broker that starts pays for none of them."""

from __future__ import annotations

import importlib
import re
from functools import cache

from moldau.protocol import api_keys
from moldau.protocol.errors import UnsupportedVersionError
from moldau.protocol.message import Message

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@cache
def request_class(api_key: int) -> type[Message]:
    """`ProduceRequest` for 0. Raises `UnsupportedVersionError` for a key that clients do not use."""
    return _message_class(api_key, "Request")


@cache
def response_class(api_key: int) -> type[Message]:
    """`ProduceResponse` for 0. Raises `UnsupportedVersionError` for a key that clients do not use."""
    return _message_class(api_key, "Response")


def module_name(api_key: int) -> str:
    """The module that holds an API's messages: `moldau.protocol.messages.list_offsets` for 2."""
    if api_key not in api_keys.RANGES:
        raise UnsupportedVersionError(
            f"{api_keys.name(api_key)} has no messages here: expected an API that clients use"
        )
    return "moldau.protocol.messages." + _BOUNDARY.sub("_", api_keys.name(api_key)).lower()


def _message_class(api_key: int, suffix: str) -> type[Message]:
    module = importlib.import_module(module_name(api_key))
    found: type[Message] = getattr(module, api_keys.name(api_key) + suffix)
    return found
