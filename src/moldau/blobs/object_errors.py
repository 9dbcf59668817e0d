"""What goes wrong at an object store, sorted: is it worth another try, does it say that the object is not there, what is said of it.

The library has few classes and tells the rest in its text ("... status code: 503 Slow Down ..."; of one delete in a batch of Azure's "... (code: 404)"),
of which the first line is for people.
"""

from __future__ import annotations

import re
from typing import Final

from .ports import BlobError, BlobMissing

TRANSIENT: Final = "transient"
"""Another try may help: 5xx, too many requests, time-outs, connections that broke."""
MISSING: Final = "missing"
"""The object is not there, or ends before the range."""
EXISTS: Final = "exists"
"""A conditional put found the object there."""
UNSUPPORTED: Final = "unsupported"
"""This store does not know the kind of request (501)."""
REFUSED: Final = "refused"
"""No other try will help: permissions, a bucket that is not there, a bad request."""

_STATUS = re.compile(r"status code: (\d{3})|\(code: (\d{3})\)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_STARTS_AFTER_END = "Wanted range starting at "
"""The library's own words where the store answers a range that begins at the end with success, and nothing."""
_NO_CONTAINER = "The specified container does not exist"
"""To a delete, of which Azure's code is not in the text."""
_WAIT_AND_SEE = frozenset((408, 409, 429))
_NO_OBJECT = frozenset(("", "NoSuchKey", "BlobNotFound"))
"""A 404 with one of these; others mean the bucket, or whoever asks."""
_CLOCKS = "the clocks of this machine and the store differ"
_ADVICE: Final = {
    "NoSuchBucket": "the bucket does not exist",
    "SignatureDoesNotMatch": "the secret access key is wrong",
    "InvalidAccessKeyId": "the access key id is not known there",
    "XAdminUserNotFound": "the access key id is not known there",
    "RequestTimeTooSkewed": _CLOCKS,
    "ExpiredToken": "the session token has expired",
    "ContainerNotFound": "the container does not exist",
    "ResourceNotFound": "there is no such account or container",
    "AuthenticationFailed": f"the account key or the token is wrong, or {_CLOCKS}",
    "AuthorizationFailure": "the account key is wrong, or the account's network rules or the token do not allow this",
    "AuthorizationPermissionMismatch": "the identity or token has no right to do this (role Storage Blob Data Contributor)",
}
_TEXT_MAX = 400


class Fault:
    """One failed request: its kind, and a line about it."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text

    def error(self, what: str) -> BlobError:
        """As the port tells it; `what` says what was tried."""
        return (BlobMissing if self.kind == MISSING else BlobError)(f"{what}: {self.text}")


def sort(error: Exception) -> Fault:
    """The fault that an exception of the library stands for."""
    whole = str(error)
    line = whole.partition("\n")[0][:_TEXT_MAX]
    status = _STATUS.search(whole)
    code = _CODE.search(whole)
    number = int(status.group(1) or status.group(2)) if status else 0
    name = code.group(1) if code else "ContainerNotFound" if _NO_CONTAINER in line else ""
    text = line
    if name:
        text = f"{name}: {_ADVICE.get(name, line)}"
    if isinstance(error, FileNotFoundError) and name in _NO_OBJECT:
        return Fault(MISSING, "it is not there")
    if number == 416 or _STARTS_AFTER_END in line:
        return Fault(MISSING, "it ends before the range that was asked for")
    kind = type(error).__name__
    if kind == "AlreadyExistsError":
        return Fault(EXISTS, "it is there already")
    if number == 501 or kind == "NotSupportedError":
        return Fault(UNSUPPORTED, text)
    if (400 <= number < 500 and number not in _WAIT_AND_SEE) or kind in (
        "PermissionDeniedError",
        "UnauthenticatedError",
        "InvalidPathError",
    ):
        return Fault(REFUSED, text)
    return Fault(TRANSIENT, text)
