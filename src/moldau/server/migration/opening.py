"""The stores of a cluster, opened for a migration: the schema is brought up to date, the bucket is tried.

Large blobs go over slow lines: once a short try has shown that the bucket answers, a call may take as long as it takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from moldau.blobs.object_url import BadUrl, ObjectUrl
from moldau.blobs.open_blobs import folder_of, open_blobs
from moldau.blobs.ports import BlobError, BlobStore
from moldau.blobs.shared_files import SharedFiles
from moldau.metadata.errors import StoreCorrupt

from .errors import MigrationError

if TYPE_CHECKING:
    from moldau.metadata.postgres.engine import PostgresEngine
    from moldau.metadata.postgres.whole import PostgresWhole

METADATA_SCHEMES = ("postgresql", "postgres")
_NEEDS = "needs the extra: pip install 'moldau[cluster]'"
_PATIENCE = {"timeout_ms": "60000", "deadline_ms": "3600000"}


async def open_target(url: str) -> BlobStore:
    """A blob store that can be written to. Raises MigrationError."""
    with _told(url):
        blobs = await open_blobs(url)
        if urlsplit(url).scheme == "file":
            return blobs
        await blobs.close()
        return _objects(patient(url))


async def open_source(url: str) -> BlobStore:
    """A blob store that is there, and is only read. Raises MigrationError."""
    with _told(url):
        if urlsplit(url).scheme == "file":
            folder = folder_of(url)
            if not folder.is_dir():
                raise BadUrl(f"{url}: there is no such directory")
            return SharedFiles(folder)
        trial = _objects(url)
        try:
            await trial.sizes()
        finally:
            await trial.close()
        return _objects(patient(url))


def _objects(url: str) -> BlobStore:
    from moldau.blobs.objects import Objects

    return Objects(ObjectUrl(url))


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except BadUrl as error:
        raise MigrationError(f"the blob store {error}. Nothing was changed.") from error
    except ImportError as error:
        raise MigrationError(f"{url} {_NEEDS}") from error
    except BlobError as error:
        raise MigrationError(
            f"{error}. Check the address, the credentials and that the bucket is there; nothing was changed."
        ) from error


def patient(url: str) -> str:
    """The URL with long time limits, unless it has some of its own."""
    given = dict(parse_qsl(urlsplit(url).query))
    more = "&".join(f"{name}={value}" for name, value in _PATIENCE.items() if name not in given)
    return f"{url}{'&' if urlsplit(url).query else '?'}{more}" if more else url


def metadata_of(url: str) -> PostgresWhole:
    """Nothing is sent yet. Raises MigrationError."""
    scheme = urlsplit(url).scheme
    if scheme not in METADATA_SCHEMES:
        raise MigrationError(
            f"the metadata store {url.partition('@')[2] or url}: expected postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE. Nothing was changed."
        )
    try:
        from moldau.metadata.postgres.whole import PostgresWhole

        return PostgresWhole(url)
    except ImportError as error:
        raise MigrationError(f"postgresql:// {_NEEDS}") from error
    except ValueError as error:
        raise MigrationError(f"the metadata store: {error}. Nothing was changed.") from error


async def open_engine(url: str) -> PostgresEngine:
    """With the schema of this release. Raises StoreError, MigrationError."""
    from moldau.metadata.postgres.engine import PostgresEngine

    engine = PostgresEngine(url)
    try:
        await engine.open()
    except StoreCorrupt as error:
        raise MigrationError(f"{error}. Nothing was changed.") from error
    return engine
