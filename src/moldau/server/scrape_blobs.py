"""What /metrics shows of a shared blob store and of the caches before it, where the broker has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moldau.log.inline_cache import InlineCache

    from .exposition import Exposition

C, G, H = "counter", "gauge", "histogram"
SHARED_METRICS: dict[str, tuple[str, str]] = {
    "moldau_blob_seconds": (H, "Puts and reads of a shared blob store, with all their retries."),
    "moldau_blob_bytes_total": (C, "Bytes put into a shared blob store and read from it."),
    "moldau_blob_retries_total": (C, "Requests to an object store that were sent again after a failure."),
    "moldau_blob_hedges_total": (C, "Second requests to an object store beside a read that was late."),
    "moldau_block_cache_bytes": (G, "Memory of the block cache: blocks that are held, and those under way."),
    "moldau_block_cache_reads_total": (
        C,
        "Reads that the block cache could answer (hit) and those that waited (miss).",
    ),
    "moldau_block_cache_requests": (G, "Requests of the block cache to the store that are under way."),
    "moldau_inline_cache_bytes": (G, "Memory of inline bytes that other brokers wrote."),
    "moldau_inline_cache_reads_total": (
        C,
        "Reads that the inline cache could answer (hit) and those that waited (miss).",
    ),
}


def show_blobs(out: Exposition, blobs: Any, inline: InlineCache | None) -> None:
    """`blobs` is the broker's blob store: shows what it counts, if it is a shared one."""
    store = getattr(blobs, "store", blobs)
    if hasattr(store, "put_seconds"):
        out.family("moldau_blob_seconds", *SHARED_METRICS["moldau_blob_seconds"])
        out.histogram("moldau_blob_seconds", store.put_seconds, operation="put")
        out.histogram("moldau_blob_seconds", store.read_seconds, operation="read")
        out.family("moldau_blob_bytes_total", *SHARED_METRICS["moldau_blob_bytes_total"])
        out.sample("moldau_blob_bytes_total", store.bytes_put, operation="put")
        out.sample("moldau_blob_bytes_total", store.bytes_read, operation="read")
    if hasattr(store, "hedged"):
        _one(out, "moldau_blob_retries_total", store.retries)
        _one(out, "moldau_blob_hedges_total", store.hedged)
    if hasattr(blobs, "cold"):
        areas = (("recent", blobs), ("cold", blobs.cold))
        out.family("moldau_block_cache_bytes", *SHARED_METRICS["moldau_block_cache_bytes"])
        for area, reads in areas:
            out.sample("moldau_block_cache_bytes", reads.area.held_bytes, area=area, state="held")
            out.sample("moldau_block_cache_bytes", reads.area.coming_bytes, area=area, state="coming")
        out.family("moldau_block_cache_reads_total", *SHARED_METRICS["moldau_block_cache_reads_total"])
        for area, reads in areas:
            out.sample("moldau_block_cache_reads_total", reads.hits, area=area, result="hit")
            out.sample("moldau_block_cache_reads_total", reads.misses, area=area, result="miss")
        out.family("moldau_block_cache_requests", *SHARED_METRICS["moldau_block_cache_requests"])
        for area, reads in areas:
            out.sample("moldau_block_cache_requests", reads.area.requests, area=area)
    if inline is not None:
        _one(out, "moldau_inline_cache_bytes", inline.held_bytes)
        out.family("moldau_inline_cache_reads_total", *SHARED_METRICS["moldau_inline_cache_reads_total"])
        out.sample("moldau_inline_cache_reads_total", inline.hits, result="hit")
        out.sample("moldau_inline_cache_reads_total", inline.misses, result="miss")


def _one(out: Exposition, name: str, value: float) -> None:
    out.family(name, *SHARED_METRICS[name])
    out.sample(name, value)
