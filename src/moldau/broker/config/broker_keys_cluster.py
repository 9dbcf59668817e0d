"""Broker keys of identity, controllers, replication, quotas, metrics and the remote tier."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
node.id                                       int       1           0..       read-only     H  acts
    The broker's number, which clients see; no two brokers of a cluster share one.
broker.id                                     int       -1          -         read-only     H  acts
    The older name of `node.id`; set both only to the same number.
broker.rack                                   string    -           -         read-only     M  acts
    The zone this broker stands in; clients that name theirs are sent to brokers in it.
process.roles                                 list      broker,controller  broker,controller  read-only     H  no_meaning:quorum
    Whether a process is broker, controller or both.
broker.heartbeat.interval.ms                  int       2000        -         read-only     M  no_meaning:quorum
    How often a broker reports to the controller.
broker.session.timeout.ms                     int       9000        -         read-only     M  no_meaning:quorum
    After how long a silent broker counts as gone.
initial.broker.registration.timeout.ms        int       60000       -         read-only     M  no_meaning:quorum
    How long a new broker tries to register.
controlled.shutdown.enable                    boolean   true        -         read-only     M  fixed:leaderless
    Whether a broker hands over its partitions before it stops.
controller.listener.names                     list      ""          -         read-only     H  no_meaning:quorum
    Which listeners are the controllers' own; the broker does not open those.
controller.performance.always.log.threshold.ms  long      2000        0..       read-only     Mi  no_meaning:quorum
    Controller events slower than this are logged.
controller.performance.sample.period.ms       long      60000       100..     read-only     Mi  no_meaning:quorum
    How often the controller's slowest events are logged.
controller.quorum.append.linger.ms            int       25          0..       read-only     M  no_meaning:quorum
    How long the quorum gathers writes.
controller.quorum.auto.join.enable            boolean   false       -         read-only     L  no_meaning:quorum
    Whether a controller joins the quorum by itself.
controller.quorum.bootstrap.servers           list      ""          -         read-only     H  no_meaning:quorum
    Where controllers are found.
controller.quorum.election.backoff.max.ms     int       1000        0..       read-only     H  no_meaning:quorum
    The longest wait between elections.
controller.quorum.election.timeout.ms         int       1000        0..       read-only     H  no_meaning:quorum
    How long an election may take.
controller.quorum.fetch.max.bytes             int       1048576     1..       read-only     L  no_meaning:quorum
    How much of the quorum's log is fetched at a time.
controller.quorum.fetch.snapshot.max.bytes    int       1048576     1..       read-only     L  no_meaning:quorum
    How much of a snapshot is fetched at a time.
controller.quorum.fetch.timeout.ms            int       2000        0..       read-only     H  no_meaning:quorum
    How long without the leader before an election.
controller.quorum.request.timeout.ms          int       2000        0..       read-only     M  no_meaning:quorum
    How long the quorum waits for an answer.
controller.quorum.retry.backoff.ms            int       20          0..       read-only     L  no_meaning:quorum
    How long the quorum waits before it asks again.
controller.quorum.voters                      list      ""          -         read-only     H  no_meaning:quorum
    The voters of the quorum.
controller.socket.timeout.ms                  int       30000       -         read-only     M  no_meaning:quorum
    How long a controller's connection may be silent.
metadata.log.dir                              string    -           -         read-only     H  no_meaning:quorum
    The folder of the quorum's log.
metadata.log.max.record.bytes.between.snapshots  long      20971520    1..       read-only     H  no_meaning:quorum
    After how many bytes the quorum's log gets a snapshot.
metadata.log.max.snapshot.interval.ms         long      3600000     0..       read-only     H  no_meaning:quorum
    After how long the quorum's log gets a snapshot.
metadata.log.segment.bytes                    int       1073741824  8388608..  read-only     H  no_meaning:quorum
    How large the segments of the quorum's log are.
metadata.log.segment.ms                       long      604800000   -         read-only     H  no_meaning:quorum
    How long a segment of the quorum's log takes data.
metadata.max.idle.interval.ms                 int       500         0..       read-only     L  no_meaning:quorum
    How often an idle quorum writes.
metadata.max.retention.bytes                  long      104857600   -         read-only     H  no_meaning:quorum
    How much of the quorum's log is kept.
metadata.max.retention.ms                     long      604800000   -         read-only     H  no_meaning:quorum
    How long the quorum's log is kept.
internal.metadata.delete.delay.millis         long      60000       -         read-only     Li  no_meaning:quorum
    How long deleted files of the quorum's log stay.
internal.metadata.log.segment.bytes           int       -           -         read-only     Li  no_meaning:quorum
    How large the segments of the quorum's log are, in tests.
internal.metadata.max.batch.size.in.bytes     int       8388608     -         read-only     Li  no_meaning:quorum
    How large a batch of the quorum's log may be.
auto.leader.rebalance.enable                  boolean   true        -         read-only     H  fixed:leaderless
    Whether leadership moves back to preferred replicas by itself.
leader.imbalance.check.interval.seconds       long      300         1..       read-only     H  no_meaning:leaderless
    How often the balance of leaders is looked at.
unclean.leader.election.enable                boolean   false       -         cluster-wide  H  fixed:leaderless
    Whether a replica that has missed writes may become leader.
unclean.leader.election.interval.ms           long      300000      1..       read-only     Mi  no_meaning:leaderless
    How often partitions without a leader are looked for.
num.replica.fetchers                          int       1           1..       cluster-wide  H  no_meaning:replication
    How many threads copy from other brokers.
num.replica.alter.log.dirs.threads            int       -           -         read-only     H  no_meaning:one_dir
    How many threads move replicas between folders.
replica.fetch.backoff.ms                      int       1000        0..       read-only     M  no_meaning:replication
    How long a replica waits after a failed fetch.
replica.fetch.max.bytes                       int       1048576     0..       read-only     M  no_meaning:replication
    How many bytes of a partition a replica fetches.
replica.fetch.min.bytes                       int       1           -         read-only     H  no_meaning:replication
    How many bytes a replica's fetch waits for.
replica.fetch.response.max.bytes              int       10485760    0..       read-only     M  no_meaning:replication
    How many bytes a replica fetches in all.
replica.fetch.wait.max.ms                     int       500         -         read-only     H  no_meaning:replication
    How long a replica's fetch waits.
replica.high.watermark.checkpoint.interval.ms  long      5000        -         read-only     H  no_meaning:replication
    How often the high watermark is written down.
replica.lag.time.max.ms                       long      30000       -         read-only     H  no_meaning:replication
    After how long a replica that lags leaves the in-sync set.
replica.selector.class                        string    -           -         read-only     M  no_meaning:leaderless
    The class that picks a replica near the consumer; brokers in the client's rack are preferred anyway.
replica.socket.receive.buffer.bytes           int       65536       -         read-only     H  no_meaning:replication
    The receive buffer of replication's sockets.
replica.socket.timeout.ms                     int       30000       -         read-only     H  no_meaning:replication
    How long replication waits for an answer.
follower.fetch.last.tiered.offset.enable      boolean   false       -         cluster-wide  M  no_meaning:tiered
    Whether an empty replica starts at the last offset of the remote tier.
leader.replication.throttled.rate             long      9223372036854775807  0..       cluster-wide  Mi  no_meaning:replication
    How many bytes a second leaders send to throttled replicas.
follower.replication.throttled.rate           long      9223372036854775807  0..       cluster-wide  Mi  no_meaning:replication
    How many bytes a second throttled replicas fetch.
replica.alter.log.dirs.io.max.bytes.per.second  long      9223372036854775807  0..       cluster-wide  Mi  no_meaning:one_dir
    How many bytes a second are moved between folders.
alter.log.dirs.replication.quota.window.num   int       11          1..       read-only     L  no_meaning:one_dir
    How many samples limit moves between folders.
alter.log.dirs.replication.quota.window.size.seconds  int       1           1..       read-only     L  no_meaning:one_dir
    How long each sample of moves between folders is.
replication.quota.window.num                  int       11          1..       read-only     L  no_meaning:replication
    How many samples limit replication.
replication.quota.window.size.seconds         int       1           1..       read-only     L  no_meaning:replication
    How long each sample of replication is.
quota.window.num                              int       11          1..       read-only     L  not_yet:quotas
    How many samples the client quotas keep.
quota.window.size.seconds                     int       1           1..       read-only     L  not_yet:quotas
    How long each sample of the client quotas is.
controller.quota.window.num                   int       11          1..       read-only     L  not_yet:quotas
    How many samples the quota on changes of topics keeps.
controller.quota.window.size.seconds          int       1           1..       read-only     L  not_yet:quotas
    How long each sample of the quota on changes of topics is.
client.quota.callback.class                   class     -           -         read-only     L  not_yet:quotas
    The class that decides which quota a client has.
create.topic.policy.class.name                class     -           =         read-only     L  fixed:java
    The class that may forbid the creation of a topic.
alter.config.policy.class.name                class     -           =         read-only     L  fixed:java
    The class that may forbid a change of configuration.
config.providers                              list      ""          =         read-only     L  fixed:java
    Classes that fetch values from elsewhere; environment variables serve here.
metric.reporters                              list      org.apache.kafka.common.metrics.JmxReporter  -         cluster-wide  L  no_meaning:metrics
    Java classes that report metrics.
kafka.metrics.reporters                       list      ""          -         read-only     L  no_meaning:metrics
    Java classes that report the older metrics.
kafka.metrics.polling.interval.secs           int       10          1..       read-only     L  no_meaning:metrics
    How often the older metrics are polled.
metrics.num.samples                           int       2           1..       read-only     L  no_meaning:metrics
    How many samples a metric keeps.
metrics.recording.level                       string    INFO        -         read-only     L  no_meaning:metrics
    Which metrics are recorded.
metrics.sample.window.ms                      long      30000       1..       read-only     L  no_meaning:metrics
    How long each sample of a metric is.
telemetry.max.bytes                           int       1048576     1..       read-only     L  not_yet:telemetry
    How large a client's pushed metrics may be.
remote.fetch.max.wait.ms                      int       500         1..       cluster-wide  M  no_meaning:tiered
    How long a fetch waits for the remote tier.
remote.list.offsets.request.timeout.ms        long      30000       1..       cluster-wide  M  no_meaning:tiered
    How long ListOffsets waits for the remote tier.
remote.log.index.file.cache.total.size.bytes  long      1073741824  1..       cluster-wide  L  no_meaning:tiered
    How many bytes of remote indexes are kept locally.
remote.log.index.file.cache.ttl.ms            long      900000      -1..      read-only     Li  no_meaning:tiered
    How long remote indexes are kept locally.
remote.log.manager.copier.thread.pool.size    int       10          1..       cluster-wide  M  no_meaning:tiered
    How many threads copy to the remote tier.
remote.log.manager.copy.max.bytes.per.second  long      9223372036854775807  1..       cluster-wide  M  no_meaning:tiered
    How many bytes a second go to the remote tier.
remote.log.manager.copy.quota.window.num      int       11          1..       read-only     M  no_meaning:tiered
    How many samples limit copies to the remote tier.
remote.log.manager.copy.quota.window.size.seconds  int       1           1..       read-only     M  no_meaning:tiered
    How long each sample of copies to the remote tier is.
remote.log.manager.expiration.thread.pool.size  int       10          1..       cluster-wide  M  no_meaning:tiered
    How many threads drop data of the remote tier.
remote.log.manager.fetch.max.bytes.per.second  long      9223372036854775807  1..       cluster-wide  M  no_meaning:tiered
    How many bytes a second come from the remote tier.
remote.log.manager.fetch.quota.window.num     int       11          1..       read-only     M  no_meaning:tiered
    How many samples limit reads of the remote tier.
remote.log.manager.fetch.quota.window.size.seconds  int       1           1..       read-only     M  no_meaning:tiered
    How long each sample of reads of the remote tier is.
remote.log.manager.follower.thread.pool.size  int       2           1..       cluster-wide  M  no_meaning:tiered
    How many threads follow the remote tier.
remote.log.manager.task.interval.ms           long      30000       1..       read-only     L  no_meaning:tiered
    How often work for the remote tier is scheduled.
remote.log.manager.task.retry.backoff.max.ms  long      30000       1..       read-only     Li  no_meaning:tiered
    The longest wait after a failure of the remote tier.
remote.log.manager.task.retry.backoff.ms      long      500         1..       read-only     Li  no_meaning:tiered
    The first wait after a failure of the remote tier.
remote.log.manager.task.retry.jitter          double    0.2         0..0.5    read-only     Li  no_meaning:tiered
    How much waits after failures of the remote tier are spread at random.
remote.log.manager.thread.pool.size           int       2           1..       read-only     M  no_meaning:tiered
    How many threads manage the remote tier.
remote.log.metadata.custom.metadata.max.bytes  int       128         0..       read-only     L  no_meaning:tiered
    How much a remote tier's plug-in may note about a segment.
remote.log.metadata.manager.class.name        string    org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager  !         read-only     M  no_meaning:tiered
    The class that keeps the remote tier's metadata.
remote.log.metadata.manager.class.path        string    -           -         read-only     M  no_meaning:tiered
    Where that class is found.
remote.log.metadata.manager.impl.prefix       string    rlmm.config.  !         read-only     M  no_meaning:tiered
    How keys meant for that class begin.
remote.log.metadata.manager.listener.name     string    -           !         read-only     M  no_meaning:tiered
    Which listener that class connects to.
remote.log.reader.max.pending.tasks           int       100         1..       read-only     M  no_meaning:tiered
    How many reads of the remote tier may wait.
remote.log.reader.threads                     int       10          1..       cluster-wide  M  no_meaning:tiered
    How many threads read the remote tier.
remote.log.storage.manager.class.name         string    -           !         read-only     M  no_meaning:tiered
    The class that stores segments remotely.
remote.log.storage.manager.class.path         string    -           -         read-only     M  no_meaning:tiered
    Where that class is found.
remote.log.storage.manager.impl.prefix        string    rsm.config.  !         read-only     M  no_meaning:tiered
    How keys meant for that class begin.
remote.log.storage.system.enable              boolean   false       =         read-only     M  fixed:tiered
    Whether segments are copied to a second, remote tier.
log.local.retention.bytes                     long      -2          -2..      cluster-wide  M  no_meaning:tiered
    How many bytes of a tiered partition stay local.
log.local.retention.ms                        long      -2          -2..      cluster-wide  M  no_meaning:tiered
    How long data of a tiered partition stay local.
log.remote.copy.lag.bytes                     long      -1          -1..      cluster-wide  M  no_meaning:tiered
    How many bytes stay local before the remote tier gets them.
log.remote.copy.lag.ms                        long      0           -1..      cluster-wide  M  no_meaning:tiered
    How long data stay local before the remote tier gets them.
"""
