"""A broker that shares one data directory with others on its host: `moldau serve --workers`.

A `SharedNode` whose stores are the directory's: SQLite that several processes write, and the folder of blobs. The parent has the lock and has put
right what the last run left (`moldau.broker.recovery`).
"""

from __future__ import annotations

from pathlib import Path

from moldau.blobs.host_files import HostFiles
from moldau.metadata.opening import Stores, open_stores, sqlite_url

from .assembly import FORMAT_VERSION
from .config.settings import DEFAULT
from .options import Options
from .shared import SharedNode


class WorkerNode(SharedNode):
    """See the module's text."""

    def __init__(self, options: Options, data: Path, *, syncs: bool = True) -> None:
        super().__init__(options)
        self._data = data
        self._syncs = syncs
        settings = options.settings
        if settings is None or settings.entry("moldau.upload.linger.ms").source == DEFAULT:
            options.upload_linger_ms = 0  # a file costs no request

    async def _open(self) -> Stores:
        url = sqlite_url(self._data / "metadata.sqlite", syncs=self._syncs)
        stores = self._stores = await open_stores(url, FORMAT_VERSION, self.clock())
        self.engine = stores.engine
        self.metadata_told = stores.told
        blobs = HostFiles(self._data / "blobs", syncs=self._syncs)
        self.blobs = blobs
        await blobs.open()
        self.blobs_told = str(self._data)
        return stores
