"""Our own broker keys; every name begins with `moldau.`."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
moldau.http.listener              string   127.0.0.1:9644  address          read-only  H  acts
    Where /metrics, /healthz, /readyz and /share-groups/NAME are served, as HOST:PORT; empty serves none of them. Brokers tell what port 0 became.
moldau.inline.max.bytes           int      65536           0..16777216      read-only  M  acts
    A flush of at most this many bytes is written at once if nothing else is being written; a larger one by another thread, and the next may begin beside it.
moldau.storage                    string   auto            express,standard,auto  cluster-wide  M  acts
    How records are stored where brokers share their stores, for topics that do not say it themselves: `express` in the metadata store's commit, which answers within milliseconds; `standard` in objects that many partitions share; `auto` is express while a topic is slow. Without effect on embedded stores.
moldau.upload.linger.ms           int      250             0..60000         read-only  M  acts
    How long standard records wait for others to share an object with, where there are few of them; in a shared folder 2 ms at most. For brokers that share their stores.
moldau.upload.max.bytes           int      8388608         65536..67108864  read-only  M  acts
    The most bytes of records in one object. For brokers that share their stores.
moldau.uploads.max                int      4               1..64            read-only  M  acts
    How many objects are put at the same time. For brokers that share their stores.
moldau.flush.max.bytes            int      8388608         65536..          read-only  M  acts
    The most bytes that one commit gathers.
moldau.wal.spare.bytes            long     1342177280      0..              read-only  M  acts
    How much of write-ahead files that are no longer needed is kept on the disk, to be written over by the next ones: syncs are quicker there. No more than a quarter of what is free on the disk, and nothing when it is full. 0 keeps none. For the embedded store.
moldau.tail.cache.bytes           long     33554432        0..              read-only  M  acts
    How much memory holds the newest batches, so that readers at the end need no disk.
moldau.block.cache.bytes          long     67108864        16777216..      read-only  M  acts
    How much memory holds blocks of a shared object store that were read, and those under way; a quarter of it is for readers far behind.
moldau.cache.view.max.entries     int      20000           16..             read-only  M  acts
    How many partitions' views are kept in memory.
moldau.segment.build.age.ms       long     5000           0..              read-only  M  acts
    How old small pieces of a partition's data must be before they are merged into a segment.
moldau.segment.min.bytes          int      786432         1024..8388608    read-only  M  acts
    Data that lie in one piece of at least this size stay where they are; smaller pieces are merged.
moldau.segment.max.bytes          int      8388608        1024..268435456  read-only  M  acts
    The largest segment that is merged from small pieces; a topic's segment.bytes, if less, counts.
moldau.busy.poll.us               int      100             0..10000         read-only  L  acts
    How long the broker looks for the next request before it sleeps, in microseconds, where requests follow one another closely; waking up takes longer than looking, and more CPU. 0 always sleeps.
moldau.metadata.url               password embedded        -                read-only  H  acts
    Where the metadata store is: `embedded` is SQLite in the data folder; postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE is one that brokers share.
moldau.blobs.url                  string   embedded        -                read-only  H  acts
    Where the blob store is: `embedded` is files in the data folder; s3://BUCKET/PREFIX, gs://..., az://... and file:///FOLDER are shared.
moldau.roles                      list     serve,maintain  serve,maintain   read-only  M  acts
    What this process does: `serve` clients, `maintain` stored data.
moldau.log.format                 string   text            text,json        read-only  L  acts
    How log lines are written.
moldau.log.level                  string   info            ~debug,info,warning,error  read-only  L  acts
    The least severe log lines that are written.
"""
