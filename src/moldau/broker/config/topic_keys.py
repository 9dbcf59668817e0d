"""Keys of topics; the fifth column is the broker key that a topic inherits from."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
cleanup.policy                           list      delete      compact,delete  log.cleanup.policy  M  acts
    What becomes of old data: `delete` drops it by time and size, `compact` keeps the last record of each key, `compact,delete` does both; an empty list keeps everything.
compression.type                         string    producer    uncompressed,zstd,lz4,snappy,gzip,producer  compression.type  M  acts
    How batches are stored: `producer` keeps what the producer chose, any other value recompresses.
compression.gzip.level                   int       -1          1..9|-1   compression.gzip.level  M  acts
    The gzip level where the broker compresses; -1 is the codec's own default.
compression.lz4.level                    int       9           1..17     compression.lz4.level  M  acts
    The lz4 level where the broker compresses.
compression.zstd.level                   int       3           -131072..22  compression.zstd.level  M  acts
    The zstd level where the broker compresses.
max.message.bytes                        int       1048588     0..       message.max.bytes  M  acts
    The largest batch the topic takes, compressed, with its header.
max.decompressed.message.bytes           int       268435456   1..2147483639  max.decompressed.message.bytes  M  acts
    What a compressed batch may grow to where the broker has to look inside.
message.timestamp.type                   string    CreateTime  CreateTime,LogAppendTime  log.message.timestamp.type  M  acts
    Whether a record keeps the producer's timestamp or gets the time of its append.
message.timestamp.before.max.ms          long      9223372036854775807  0..       log.message.timestamp.before.max.ms  M  acts
    How far before the broker's clock a record's timestamp may lie.
message.timestamp.after.max.ms           long      3600000     0..       log.message.timestamp.after.max.ms  M  acts
    How far after the broker's clock a record's timestamp may lie.
retention.ms                             long      604800000   -1..      log.retention.ms  M  acts
    How long data are kept, in milliseconds; -1 is for ever.
retention.bytes                          long      -1          -         log.retention.bytes  M  acts
    How many bytes a partition keeps before its oldest data go; -1 is no limit.
segment.bytes                            int       1073741824  1048576..  log.segment.bytes  M  acts
    How large a segment of a partition may grow. Retention drops whole segments, which are seldom larger than 8 MiB here.
segment.ms                               long      604800000   1..       log.roll.ms     M  acts
    How long a segment may take data before the next one begins, in milliseconds; an eighth of the retention time, if that is less.
file.delete.delay.ms                     long      60000       0..       log.segment.delete.delay.ms  M  acts
    How long the bytes of dropped data stay on disk for readers that are still at them. Files are shared, so the longest delay of all topics counts. Write-ahead files on one machine go after two seconds.
moldau.storage                           string    auto        express,standard,auto  moldau.storage  M  acts
    How records are stored where brokers share their stores: `express` in the metadata store's commit, `standard` in objects that many partitions share, `auto` express while the topic is slow. Without effect on embedded stores.
min.insync.replicas                      int       1           1..       min.insync.replicas  M  fixed:stores
    How many replicas must have a write before acks=all is answered.
unclean.leader.election.enable           boolean   false       -         unclean.leader.election.enable  M  fixed:leaderless
    Whether a replica that has missed writes may become leader.
flush.messages                           long      9223372036854775807  1..       log.flush.interval.messages  M  fixed:sync
    After how many messages a partition is forced to disk.
flush.ms                                 long      9223372036854775807  0..       log.flush.interval.ms  M  fixed:sync
    After how long a partition is forced to disk.
segment.jitter.ms                        long      0           0..       log.roll.jitter.ms  M  no_meaning:jitter
    How much the rolling of segments is spread at random.
segment.index.bytes                      int       10485760    4..       log.index.size.max.bytes  M  no_meaning:index
    How large the offset index of a segment may grow.
index.interval.bytes                     int       4096        0..       log.index.interval.bytes  M  no_meaning:index
    How many bytes lie between two entries of the offset index.
preallocate                              boolean   false       -         log.preallocate  M  no_meaning:index
    Whether a segment's file is given its full size when it is made.
internal.segment.bytes                   int       -           -         -               Mi  no_meaning:index
    How large a segment may grow, in Kafka's own tests.
delete.retention.ms                      long      86400000    0..       log.cleaner.delete.retention.ms  M  acts
    How long a tombstone (a record without a value) stays in a compacted topic after it was first compacted.
min.cleanable.dirty.ratio                double    0.5         0..1      log.cleaner.min.cleanable.ratio  M  acts
    How large a part of a partition must be uncompacted before it is compacted.
min.compaction.lag.ms                    long      0           0..       log.cleaner.min.compaction.lag.ms  M  acts
    How long a record stays uncompacted at least.
max.compaction.lag.ms                    long      9223372036854775807  1..       log.cleaner.max.compaction.lag.ms  M  acts
    How long a record waits at most before its partition is compacted, however little of it is uncompacted.
leader.replication.throttled.replicas    list      ""          replicas  -               M  no_meaning:replication
    Replicas whose leaders send under the replication limit.
follower.replication.throttled.replicas  list      ""          replicas  -               M  no_meaning:replication
    Replicas that fetch under the replication limit.
remote.storage.enable                    boolean   false       =         -               M  fixed:tiered
    Whether the topic's segments are copied to a second, remote tier.
remote.log.copy.disable                  boolean   false       -         -               M  no_meaning:tiered
    Whether nothing new goes to the remote tier.
remote.log.delete.on.disable             boolean   false       -         -               M  no_meaning:tiered
    Whether remote data go when the remote tier is turned off.
remote.copy.lag.bytes                    long      -1          -1..      log.remote.copy.lag.bytes  M  no_meaning:tiered
    How many bytes stay local before the remote tier gets them.
remote.copy.lag.ms                       long      0           -1..      log.remote.copy.lag.ms  M  no_meaning:tiered
    How long data stay local before the remote tier gets them.
local.retention.bytes                    long      -2          -2..      log.local.retention.bytes  M  no_meaning:tiered
    How many bytes of a tiered partition stay local.
local.retention.ms                       long      -2          -2..      log.local.retention.ms  M  no_meaning:tiered
    How long data of a tiered partition stay local.
errors.deadletterqueue.group.enable      boolean   false       -         -               M  acts
    Whether share groups may use the topic for given-up records.
"""
