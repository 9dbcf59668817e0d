"""What `moldau.metadata.url` and `moldau.blobs.url` may say."""

from __future__ import annotations

from typing import Final

from moldau.broker.options import EMBEDDED

METADATA: Final = ("postgresql://", "postgres://")
BLOBS: Final = ("s3://", "gs://", "az://", "file:///")


def check(metadata: str | None, blobs: str | None, problems: list[str]) -> None:
    """Append what is wrong: an unknown kind of store, or one of the two embedded and the other shared. Passwords are not repeated."""
    metadata, blobs = metadata or "", blobs or ""
    if metadata != EMBEDDED and not metadata.startswith(METADATA):
        came = metadata.partition("://")[0][:20]
        problems.append(
            f"moldau.metadata.url begins with {came!r}; expected embedded or postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE"
        )
    if blobs != EMBEDDED and not blobs.startswith(BLOBS):
        problems.append(
            f"moldau.blobs.url={blobs[:60]}: expected embedded, or a URL that begins with one of {', '.join(BLOBS)}"
        )
    if (metadata == EMBEDDED) != (blobs == EMBEDDED):
        shared, other = ("blobs", "metadata") if metadata == EMBEDDED else ("metadata", "blobs")
        problems.append(
            f"moldau.{shared}.url is a shared store, moldau.{other}.url is embedded: both are shared or none is;"
            f" give --{other} URL, too"
        )
