"""What /metrics shows of shared blob stores: all of it for a bucket, less for a directory, nothing for files of one's own."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.aio import run

from moldau.blobs.block_cache import BlockCache
from moldau.blobs.local import LocalBlobs
from moldau.blobs.object_url import ObjectUrl
from moldau.blobs.objects import Objects
from moldau.blobs.open_blobs import open_blobs
from moldau.log.inline_cache import InlineCache
from moldau.server.exposition import Exposition
from moldau.server.scrape_blobs import SHARED_METRICS, show_blobs


def shown(blobs: object, inline: InlineCache | None = None) -> dict[str, float]:
    out = Exposition()
    show_blobs(out, blobs, inline)
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(out.text().decode())
        for sample in family.samples
        if "_bucket" not in sample.name
    }


def names(samples: dict[str, float]) -> set[str]:
    return {name.split(" ")[0].removesuffix("_count").removesuffix("_sum") for name in samples}


def test_what_each_store_has(tmp_path: Path) -> None:
    async def main() -> None:
        bucket = Objects(ObjectUrl("s3://b/p?endpoint=http://127.0.0.1:1"))
        assert names(shown(BlockCache(bucket, 16 << 20), InlineCache(None))) == set(SHARED_METRICS)  # type: ignore[arg-type]
        folder = await open_blobs(f"file://{tmp_path}/shared")
        await folder.put(1, [b"abcdef"])
        await folder.read(1, 1, 4)
        found = shown(folder)
        assert names(found) == {"moldau_blob_seconds", "moldau_blob_bytes_total"}
        assert found["moldau_blob_bytes_total put"] == 6
        assert found["moldau_blob_bytes_total read"] == 4
        assert found["moldau_blob_seconds_count put"] == found["moldau_blob_seconds_count read"] == 1
        cache = BlockCache(folder, 16 << 20)
        await cache.read(1, 0, 6)
        cache.read_now(1, 0, 2)
        await cache.cold.read(1, 0, 6)
        found = shown(cache)
        assert [found[f"moldau_block_cache_reads_total {area}"] for area in ("recent hit", "recent miss")] == [1, 1]
        assert [found[f"moldau_block_cache_reads_total {area}"] for area in ("cold hit", "cold miss")] == [0, 1]
        assert found["moldau_block_cache_bytes recent held"] > 6
        assert found["moldau_block_cache_bytes cold coming"] == 0
        await cache.close()
        own = LocalBlobs(tmp_path / "own")
        assert shown(own) == {}
        await own.close()

    run(main())
