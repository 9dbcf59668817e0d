"""Broker keys of topics and logs: creation, retention, segments, compression, timestamps, compaction."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
log.dirs                                      list      -           -         read-only     H  acts
    The folder that holds everything the broker keeps; one folder only. `--data` sets it.
log.dir                                       list      -           -         read-only     H  acts
    The folder that holds everything the broker keeps, when `log.dirs` is not set.
log.dir.failure.timeout.ms                    long      30000       1..       read-only     L  no_meaning:one_dir
    How long a broker lives on with failed folders that it could not report.
cordoned.log.dirs                             list      ""          -         per-broker    M  no_meaning:one_dir
    Folders that take no new partitions.
num.partitions                                int       1           1..       read-only     M  acts
    How many partitions a topic gets when nobody says.
auto.create.topics.enable                     boolean   true        -         read-only     H  acts
    Whether asking for an unknown topic's metadata, or producing to it, creates the topic.
delete.topic.enable                           boolean   true        -         read-only     H  acts
    Whether topics may be deleted.
default.replication.factor                    int       1           -         read-only     M  acts
    How many replicas a topic shows when nobody says; it may not exceed the number of live brokers.
min.insync.replicas                           int       1           1..       cluster-wide  H  fixed:stores
    How many replicas must have a write before acks=all is answered.
compression.type                              string    producer    uncompressed,zstd,lz4,snappy,gzip,producer  cluster-wide  H  acts
    How batches are stored: `producer` keeps what the producer chose, any other value recompresses.
compression.gzip.level                        int       -1          1..9|-1   cluster-wide  M  acts
    The gzip level where the broker compresses; -1 is the codec's own default.
compression.lz4.level                         int       9           1..17     cluster-wide  M  acts
    The lz4 level where the broker compresses.
compression.zstd.level                        int       3           -131072..22  cluster-wide  M  acts
    The zstd level where the broker compresses.
message.max.bytes                             int       1048588     0..       cluster-wide  H  acts
    The largest batch a topic takes, compressed, with its header.
max.decompressed.message.bytes                int       268435456   1..2147483639  cluster-wide  M  acts
    What a compressed batch may grow to where the broker has to look inside.
log.message.timestamp.type                    string    CreateTime  CreateTime,LogAppendTime  cluster-wide  M  acts
    Whether a record keeps the producer's timestamp or gets the time of its append.
log.message.timestamp.before.max.ms           long      9223372036854775807  0..       cluster-wide  M  acts
    How far before the broker's clock a record's timestamp may lie.
log.message.timestamp.after.max.ms            long      3600000     0..       cluster-wide  M  acts
    How far after the broker's clock a record's timestamp may lie.
log.cleanup.policy                            list      delete      compact,delete  cluster-wide  M  acts
    What becomes of old data: `delete` drops it by time and size, `compact` keeps the last record of each key, `compact,delete` does both; an empty list keeps everything.
log.retention.ms                              long      -           nonzero   cluster-wide  H  acts
    How long data are kept, in milliseconds; -1 is for ever. Unset, `log.retention.minutes` counts.
log.retention.minutes                         int       -           nonzero   read-only     H  acts
    How long data are kept, in minutes. Unset, `log.retention.hours` counts.
log.retention.hours                           int       168         nonzero   read-only     H  acts
    How long data are kept, in hours; -1 is for ever.
log.retention.bytes                           long      -1          -         cluster-wide  H  acts
    How many bytes a partition keeps before its oldest data go; -1 is no limit.
log.retention.check.interval.ms               long      300000      1..       read-only     M  acts
    How often the broker looks for data whose time is over.
log.segment.bytes                             int       1073741824  1048576..  cluster-wide  H  acts
    How large a segment of a partition may grow. Retention drops whole segments, which are seldom larger than 8 MiB here.
log.segment.delete.delay.ms                   long      60000       0..       cluster-wide  H  acts
    How long the bytes of dropped data stay on disk for readers that are still at them. Files are shared, so the longest delay of all topics counts. Write-ahead files on one machine go after two seconds.
log.roll.ms                                   long      -           -         cluster-wide  H  acts
    How long a segment may take data before the next one begins, in milliseconds; an eighth of the retention time, if that is less. Unset, `log.roll.hours` counts.
log.roll.hours                                int       168         1..       read-only     H  acts
    How long a segment may take data before the next one begins, in hours.
log.roll.jitter.ms                            long      -           -         cluster-wide  H  no_meaning:jitter
    How much the rolling of segments is spread at random, in milliseconds.
log.roll.jitter.hours                         int       0           0..       read-only     H  no_meaning:jitter
    How much the rolling of segments is spread at random, in hours.
log.index.size.max.bytes                      int       10485760    4..       cluster-wide  M  no_meaning:index
    How large the offset index of a segment may grow.
log.index.interval.bytes                      int       4096        0..       cluster-wide  M  no_meaning:index
    How many bytes lie between two entries of the offset index.
log.preallocate                               boolean   false       -         cluster-wide  M  no_meaning:index
    Whether a segment's file is given its full size when it is made.
log.flush.interval.messages                   long      9223372036854775807  1..       cluster-wide  H  fixed:sync
    After how many messages a partition is forced to disk.
log.flush.interval.ms                         long      -           -         cluster-wide  H  fixed:sync
    After how long a partition is forced to disk.
log.flush.scheduler.interval.ms               long      9223372036854775807  -         read-only     H  fixed:sync
    How often partitions are looked at for being forced to disk.
log.flush.offset.checkpoint.interval.ms       int       60000       0..       read-only     H  no_meaning:checkpoint
    How often the recovery point is written down.
log.flush.start.offset.checkpoint.interval.ms  int       60000       0..       read-only     H  no_meaning:checkpoint
    How often the log start offset is written down.
log.initial.task.delay.ms                     long      30000       0..       read-only     Li  no_meaning:one_start
    How long after the start the log's background work begins.
num.recovery.threads.per.data.dir             int       2           1..       cluster-wide  H  no_meaning:checkpoint
    How many threads recover logs at start.
producer.id.expiration.ms                     int       86400000    1..       cluster-wide  L  acts
    How long an idle producer's sequence numbers are remembered by a partition.
producer.id.expiration.check.interval.ms      int       600000      1..       read-only     Li  no_meaning:sweep
    How often expired producers are looked for.
log.cleaner.enable                            boolean   true        -         read-only     M  acts
    Whether this broker compacts.
log.cleaner.threads                           int       1           0..       cluster-wide  M  no_meaning:cleaner
    How many threads compact logs.
log.cleaner.backoff.ms                        long      15000       0..       cluster-wide  M  acts
    How long the cleaner sleeps between two looks at the compacted partitions.
log.cleaner.dedupe.buffer.size                long      134217728   -         cluster-wide  M  acts
    How much memory the keys of one compaction may take, about 100 bytes each and the key (digests of those longer than 39 bytes); with more keys a partition is read several times. At least 1 MiB is used.
log.cleaner.io.buffer.load.factor             double    0.9         -         cluster-wide  M  no_meaning:cleaner
    How full the cleaner's key buffer may become.
log.cleaner.io.buffer.size                    int       524288      0..       cluster-wide  M  no_meaning:cleaner
    The cleaner's read and write buffers.
log.cleaner.io.max.bytes.per.second           double    1.7976931348623157E308  -         cluster-wide  M  acts
    How many bytes a second the cleaner reads at most.
log.cleaner.delete.retention.ms               long      86400000    0..       cluster-wide  M  acts
    How long a tombstone (a record without a value) stays in a compacted topic after it was first compacted.
log.cleaner.min.cleanable.ratio               double    0.5         0..1      cluster-wide  M  acts
    How large a part of a partition must be uncompacted before it is compacted.
log.cleaner.min.compaction.lag.ms             long      0           0..       cluster-wide  M  acts
    How long a record stays uncompacted at least.
log.cleaner.max.compaction.lag.ms             long      9223372036854775807  1..       cluster-wide  M  acts
    How long a record waits at most before its partition is compacted, however little of it is uncompacted.
"""
