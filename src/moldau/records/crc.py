"""CRC-32C (Castagnoli, RFC 3720), the checksum of record batches: `crc32c(data, value=0) -> int`.

The library is the package of the same name: it uses the processor's own instruction where there is one (SSE 4.2,
ARMv8), else slicing-by-8, and lets other threads run while it works on a buffer of 32 KiB or more. Measured: 11 to 22
GB/s, and 0.1 us for a small buffer. `value` is the checksum of what came before `data`.

Its extension module is loaded by itself, for the package around it reads its own version through `importlib.metadata`,
which costs the start of every process 25 ms.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

__all__ = ["crc32c"]


def _load() -> Any:
    package = PathFinder.find_spec("crc32c")
    if package is not None and package.submodule_search_locations:
        spec = PathFinder.find_spec("crc32c._crc32c", package.submodule_search_locations)
        if spec is not None and spec.loader is not None:
            extension = module_from_spec(spec)
            spec.loader.exec_module(extension)
            return extension.crc32c
    import crc32c as whole

    return whole.crc32c


if TYPE_CHECKING:
    from crc32c import crc32c
else:
    crc32c = _load()
