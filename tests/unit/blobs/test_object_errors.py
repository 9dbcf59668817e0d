"""Answers of object stores, sorted. The texts are those that came from Azurite 3.35 and fake-gcs-server 1.56 by way of the library; 403 and 503 to
one delete of a batch are made after the 404 that came."""

from __future__ import annotations

import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PermissionDeniedError

from moldau.blobs.object_errors import EXISTS, MISSING, REFUSED, TRANSIENT, UNSUPPORTED, sort
from moldau.blobs.ports import BlobError, BlobMissing

AZ = "http://127.0.0.1:10000/devstoreaccount1"


def answered(begin: str, method: str, url: str, status: str, code: str = "") -> str:
    """What the library says of an answer: the line, with the beginning of a body, and more for developers."""
    body = ""
    if code:
        body = f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<Error>\n  <Code>{code}</Code>\n  <Message>Words.\nRequestId:d85d\n'
    return (
        f"{begin}: Error performing {method} {url} in 4.05ms - Server returned non-2xx status code: {status}: {body}\n\n"
        "Debug source:\nNotFound {\n    retries: 0,\n}"
    )


GENERIC = "Generic MicrosoftAzure error"
NO_OBJECT = "Object at location p/x not found"
DENIED = "The operation lacked the necessary privileges to complete for path p/x"
BATCH = "Generic MicrosoftAzure error: Error performing bulk delete request"

TEXTS = {
    "a blob is not there": (
        FileNotFoundError(answered(NO_OBJECT, "GET", f"{AZ}/moldau/p/x", "404 Not Found", "BlobNotFound")),
        MISSING,
        "it is not there",
    ),
    "a blob is not there, said without a body": (
        FileNotFoundError(answered(NO_OBJECT, "HEAD", f"{AZ}/moldau/p/x", "404 Not Found")),
        MISSING,
        "it is not there",
    ),
    "a deleted blob is deleted": (
        FileNotFoundError(
            f"{NO_OBJECT}: Bulk delete request failed for key p/a: The specified blob does not exist. (code: 404)\n\nDebug source:"
        ),
        MISSING,
        "it is not there",
    ),
    "a range far beyond the end": (
        GenericError(answered(GENERIC, "GET", f"{AZ}/moldau/p/x", "416 Range Not Satisfiable", "InvalidRange")),
        MISSING,
        "it ends before the range that was asked for",
    ),
    "a range that begins at the end": (
        GenericError(
            f"{GENERIC}: Wanted range starting at 6, but object was only 6 bytes long\n\nDebug source:\nGeneric {{"
        ),
        MISSING,
        "it ends before the range that was asked for",
    ),
    "it exists": (
        AlreadyExistsError(
            answered(
                "Object at location p/a already exists", "PUT", f"{AZ}/moldau/p/a", "409 Conflict", "BlobAlreadyExists"
            )
        ),
        EXISTS,
        "it is there already",
    ),
    "no container": (
        FileNotFoundError(answered(NO_OBJECT, "PUT", f"{AZ}/nobody/p/x", "404 Not Found", "ContainerNotFound")),
        REFUSED,
        "ContainerNotFound: the container does not exist",
    ),
    "no container to delete from": (
        FileNotFoundError(
            f"{NO_OBJECT}: Bulk delete request failed for key p/x: The specified container does not exist. (code: 404)\n\nDebug source:"
        ),
        REFUSED,
        "ContainerNotFound: the container does not exist",
    ),
    "no account": (
        FileNotFoundError(
            answered(NO_OBJECT, "PUT", "http://127.0.0.1:1/no/moldau/p/x", "404 Not Found", "ResourceNotFound")
        ),
        REFUSED,
        "ResourceNotFound: there is no such account or container",
    ),
    "a wrong key": (
        PermissionDeniedError(answered(DENIED, "PUT", f"{AZ}/moldau/p/x", "403 Forbidden", "AuthorizationFailure")),
        REFUSED,
        "AuthorizationFailure: the account key is wrong, or the account's network rules or the token do not allow this",
    ),
    "a wrong key to a delete": (
        GenericError(
            answered(
                BATCH, "POST", f"{AZ}/moldau?restype=container&comp=batch", "403 Forbidden", "AuthorizationFailure"
            )
        ),
        REFUSED,
        "AuthorizationFailure: the account key is wrong, or the account's network rules or the token do not allow this",
    ),
    "one delete of a batch is not allowed": (
        GenericError(
            f"{GENERIC}: Bulk delete request failed for key p/a: This request is not authorized. (code: 403)\n\nDebug source:"
        ),
        REFUSED,
        f"{GENERIC}: Bulk delete request failed for key p/a: This request is not authorized. (code: 403)",
    ),
    "one delete of a batch may be asked again": (
        GenericError(
            f"{GENERIC}: Bulk delete request failed for key p/a: The server is busy. (code: 503)\n\nDebug source:"
        ),
        TRANSIENT,
        f"{GENERIC}: Bulk delete request failed for key p/a: The server is busy. (code: 503)",
    ),
    "GCS: an object is not there": (
        FileNotFoundError(answered(NO_OBJECT, "GET", "http://127.0.0.1:1/moldau/p%2Fx", "404 Not Found: Not Found")),
        MISSING,
        "it is not there",
    ),
    "GCS: an object that is not there is deleted": (
        FileNotFoundError(
            answered(
                NO_OBJECT,
                "DELETE",
                "http://127.0.0.1:1/moldau/p%2Fx",
                '404 Not Found: {"error":{"code":404,"message":"Not Found"}}',
            )
        ),
        MISSING,
        "it is not there",
    ),
}


@pytest.mark.parametrize(("error", "kind", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_answers_are_sorted(error: Exception, kind: str, text: str) -> None:
    fault = sort(error)
    assert (fault.kind, fault.text) == (kind, text)
    told = fault.error("cannot read")
    assert str(told) == f"cannot read: {text}"
    assert isinstance(told, BlobMissing if kind == MISSING else BlobError)


def test_credentials_that_cannot_be_had_are_named() -> None:
    url = "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token"
    fault = sort(
        GenericError(answered("Generic GCS error: Error performing token request", "GET", url, "403 Forbidden"))
    )
    assert fault.kind == REFUSED
    assert fault.text.startswith("Generic GCS error: Error performing token request: Error performing GET http://169")


def test_a_store_that_does_not_know_a_request() -> None:
    assert sort(GenericError(answered(GENERIC, "PUT", f"{AZ}/x", "501 Not Implemented"))).kind == UNSUPPORTED
