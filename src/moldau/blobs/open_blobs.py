"""From `moldau.blobs.url` to a shared blob store that answers: `s3://`, `gs://`, `az://` (`moldau.blobs.object_url`), or `file:///DIR`, a
directory that all brokers see at that path (`moldau.blobs.shared_files`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from .object_url import SCHEMES, BadUrl
from .ports import BlobStore

_EXPECTED: Final = f"expected {', '.join(f'{each}://BUCKET/PREFIX' for each in SCHEMES)} or file:///DIR"


async def open_blobs(url: str) -> BlobStore:
    """The store, tried out: something was put, read and deleted.

    Raises BadUrl for what cannot be right (also when a library is not installed), BlobError when the store cannot be used.
    """
    if url.partition(":")[0] == "file":
        return await _open_folder(folder_of(url))
    if url.partition("://")[0] not in SCHEMES:
        raise BadUrl(f"{url}: {_EXPECTED}")
    from .object_url import ObjectUrl
    from .objects import Objects

    blobs = Objects(ObjectUrl(url))
    try:
        await blobs.open()
    except BaseException:
        await blobs.close()
        raise
    return blobs


async def _open_folder(folder: Path) -> BlobStore:
    from .shared_files import SharedFiles

    blobs = SharedFiles(folder)
    try:
        await blobs.open()
    except BaseException:
        await blobs.close()
        raise
    return blobs


def folder_of(url: str) -> Path:
    """The directory of a file:/// URL. Raises BadUrl."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if not url.startswith("file:///") and parts.netloc != "localhost":
        raise BadUrl(f"{url}: expected file:///DIR, with three slashes and an absolute path")
    if parts.query or parts.fragment:
        raise BadUrl(f"{url}: file:/// has no options; write ? and # of a path as %3F and %23")
    if not path.strip("/") or "\0" in path:
        raise BadUrl(f"{url}: there is no directory; expected file:///DIR")
    return Path(path)
