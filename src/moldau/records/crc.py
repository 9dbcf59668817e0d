"""CRC-32C (Castagnoli, RFC 3720), the checksum of record batches: `crc32c(data, value=0) -> int`.

The library is the package of the same name: it uses the processor's own instruction where there is one (SSE 4.2,
ARMv8), else slicing-by-8, and lets other threads run while it works on a buffer of 32 KiB or more. Measured: 11 GB/s,
and 0.3 us for a small buffer, most of it the call. `value` is the checksum of what came before `data`.
"""

from crc32c import crc32c

__all__ = ["crc32c"]
