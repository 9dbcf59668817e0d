"""Broker keys of group, share, streams and transaction coordinators."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
group.initial.rebalance.delay.ms              int       3000        -         read-only     M  acts
    How long a new group waits for more members before its first rebalance.
group.min.session.timeout.ms                  int       6000        -         read-only     M  acts
    The shortest session time-out a member of a classic group may ask for.
group.max.session.timeout.ms                  int       1800000     -         read-only     M  acts
    The longest session time-out a member of a classic group may ask for.
group.max.size                                int       2147483647  1..       read-only     M  acts
    How many members a classic group may have.
offset.metadata.max.bytes                     int       4096        -         read-only     H  acts
    How long the note beside a committed offset may be.
offsets.retention.minutes                     int       10080       1..       read-only     H  acts
    How long committed offsets outlive the last member of their group.
offsets.retention.check.interval.ms           long      600000      1..       read-only     H  acts
    How often expired offsets are looked for.
offsets.commit.timeout.ms                     int       5000        1..       read-only     H  no_meaning:rows
    How long an offset commit waits for its replicas.
offsets.load.buffer.size                      int       5242880     1..       read-only     H  no_meaning:rows
    How much is read at a time when a coordinator loads its offsets.
offsets.topic.num.partitions                  int       50          1..       read-only     H  no_meaning:rows
    How many partitions the topic of committed offsets has.
offsets.topic.replication.factor              short     3           1..       read-only     H  no_meaning:rows
    How many replicas the topic of committed offsets has.
offsets.topic.segment.bytes                   int       104857600   1..       read-only     H  no_meaning:rows
    How large the segments of the topic of committed offsets are.
offsets.topic.compression.codec               int       0           -         read-only     H  no_meaning:rows
    How the topic of committed offsets is compressed.
group.coordinator.rebalance.protocols         list      classic,consumer  =         read-only     M  fixed:group_protocols
    Which group protocols the coordinator speaks.
group.coordinator.threads                     int       4           1..       read-only     H  no_meaning:threads
    How many threads run group coordinators.
group.coordinator.background.threads          int       2           1..       read-only     H  no_meaning:threads
    How many threads do the coordinators' slower work.
group.coordinator.append.linger.ms            int       -1          -1..      read-only     M  no_meaning:rows
    How long a coordinator gathers writes before it appends them.
group.coordinator.cached.buffer.max.bytes     int       1048588     524288..  cluster-wide  M  no_meaning:rows
    How large a write buffer a coordinator keeps for reuse.
group.consumer.session.timeout.ms             int       45000       1..       read-only     M  acts
    The session time-out of consumer groups.
group.consumer.min.session.timeout.ms         int       45000       1..       read-only     M  acts
    The shortest session time-out a consumer group may set.
group.consumer.max.session.timeout.ms         int       60000       1..       read-only     M  acts
    The longest session time-out a consumer group may set.
group.consumer.heartbeat.interval.ms          int       5000        1..       read-only     M  acts
    How often members of consumer groups send heartbeats.
group.consumer.min.heartbeat.interval.ms      int       5000        1..       read-only     M  acts
    The shortest heartbeat interval a consumer group may set.
group.consumer.max.heartbeat.interval.ms      int       15000       1..       read-only     M  acts
    The longest heartbeat interval a consumer group may set.
group.consumer.max.size                       int       2147483647  1..       read-only     M  acts
    How many members a consumer group may have.
group.consumer.assignors                      list      uniform,range  -         read-only     M  acts
    The assignors of consumer groups, the default one first.
group.consumer.assignment.interval.ms         int       1000        0..       cluster-wide  M  acts
    The least time between two assignments of a consumer group.
group.consumer.min.assignment.interval.ms     int       0           0..       read-only     M  acts
    The shortest assignment interval a consumer group may set.
group.consumer.max.assignment.interval.ms     int       15000       0..       read-only     M  acts
    The longest assignment interval a consumer group may set.
group.consumer.assignor.offload.enable        boolean   true        -         cluster-wide  Mi  acts
    Whether assignments of consumer groups are computed beside the coordinator.
group.consumer.migration.policy               string    bidirectional  ~DISABLED,DOWNGRADE,UPGRADE,BIDIRECTIONAL  read-only     M  acts
    Which way groups may move between the classic and the consumer protocol.
group.consumer.regex.refresh.interval.ms      int       600000      10000..   read-only     Mi  no_meaning:patterns
    How often subscriptions by pattern are matched against the topics again.
group.share.assignors                         list      simple      -         read-only     M  acts
    The assignors of share groups.
group.share.assignment.interval.ms            int       1000        0..       cluster-wide  M  acts
    The least time between two assignments of a share group.
group.share.min.assignment.interval.ms        int       0           0..       read-only     M  acts
    The shortest assignment interval a share group may set.
group.share.max.assignment.interval.ms        int       15000       0..       read-only     M  acts
    The longest assignment interval a share group may set.
group.share.assignor.offload.enable           boolean   true        -         cluster-wide  Mi  acts
    Whether assignments of share groups are computed beside the coordinator.
group.share.delivery.count.limit              int       5           2..10     read-only     M  acts
    How often a record is delivered before it is given up.
group.share.min.delivery.count.limit          int       2           2..5      read-only     M  acts
    The lowest delivery limit a share group may set.
group.share.max.delivery.count.limit          int       10          5..25     read-only     M  acts
    The highest delivery limit a share group may set.
group.share.dlq.manager.class.name            string    org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager  -         read-only     Mi  no_meaning:rows
    The class that writes given-up records to another topic.
group.share.heartbeat.interval.ms             int       5000        1..       read-only     M  acts
    How often members of share groups send heartbeats.
group.share.min.heartbeat.interval.ms         int       5000        1..       read-only     M  acts
    The shortest heartbeat interval a share group may set.
group.share.max.heartbeat.interval.ms         int       15000       1..       read-only     M  acts
    The longest heartbeat interval a share group may set.
group.share.initialize.retry.interval.ms      int       30000       1..       read-only     Li  no_meaning:rows
    How long before a share-partition's state is set up again after a failure.
group.share.max.share.sessions                int       2000        1..       read-only     M  acts
    How many share sessions a broker keeps.
group.share.max.size                          int       200         1..1000   read-only     M  acts
    How many members a share group may have.
group.share.partition.max.record.locks        int       2000        100..10000  read-only     M  acts
    How many records of a share-partition may be out for delivery at once.
group.share.min.partition.max.record.locks    int       100         100..2000  read-only     M  acts
    The lowest number of records out for delivery a share group may set.
group.share.max.partition.max.record.locks    int       4000        2000..10000  read-only     M  acts
    The highest number of records out for delivery a share group may set.
group.share.persister.class.name              string    org.apache.kafka.server.share.persister.DefaultStatePersister  -         read-only     Mi  no_meaning:rows
    The class that keeps the state of share-partitions.
group.share.record.lock.duration.ms           int       30000       1000..3600000  read-only     M  acts
    How long a delivered record is locked for its consumer.
group.share.min.record.lock.duration.ms       int       15000       1000..30000  read-only     M  acts
    The shortest lock a share group may set.
group.share.max.record.lock.duration.ms       int       60000       30000..3600000  read-only     M  acts
    The longest lock a share group may set.
group.share.session.timeout.ms                int       45000       1..       read-only     M  acts
    The session time-out of share groups.
group.share.min.session.timeout.ms            int       45000       1..       read-only     M  acts
    The shortest session time-out a share group may set.
group.share.max.session.timeout.ms            int       60000       1..       read-only     M  acts
    The longest session time-out a share group may set.
errors.deadletterqueue.auto.create.topics.enable  boolean   false       -         cluster-wide  M  acts
    Whether the topic for a share group's given-up records is created by itself.
errors.deadletterqueue.topic.name.prefix      string    dlq.        -         cluster-wide  M  acts
    How names of topics for given-up records begin.
share.coordinator.append.linger.ms            int       -1          -1..      read-only     M  no_meaning:rows
    How long the share coordinator gathers writes before it appends them.
share.coordinator.cached.buffer.max.bytes     int       1048588     524288..  cluster-wide  M  no_meaning:rows
    How large a write buffer the share coordinator keeps for reuse.
share.coordinator.cold.partition.snapshot.interval.ms  int       300000      1..       read-only     Li  no_meaning:rows
    How often the state of quiet share-partitions is written whole.
share.coordinator.load.buffer.size            int       5242880     1..       read-only     H  no_meaning:rows
    How much is read at a time when the share coordinator loads.
share.coordinator.snapshot.update.records.per.snapshot  int       500         0..500    read-only     M  no_meaning:rows
    How many updates lie between two whole states of a share-partition.
share.coordinator.state.topic.compression.codec  int       0           -         read-only     H  no_meaning:rows
    How the share coordinator's topic is compressed.
share.coordinator.state.topic.min.isr         short     2           1..       read-only     H  no_meaning:rows
    How many replicas a write to the share coordinator's topic needs.
share.coordinator.state.topic.num.partitions  int       50          1..       read-only     H  no_meaning:rows
    How many partitions the share coordinator's topic has.
share.coordinator.state.topic.prune.interval.ms  int       300000      1..       read-only     Li  no_meaning:rows
    How often the share coordinator's topic is cut short.
share.coordinator.state.topic.replication.factor  short     3           1..       read-only     H  no_meaning:rows
    How many replicas the share coordinator's topic has.
share.coordinator.state.topic.segment.bytes   int       104857600   1..       read-only     H  no_meaning:rows
    How large the segments of the share coordinator's topic are.
share.coordinator.threads                     int       1           1..       read-only     M  no_meaning:rows
    How many threads run the share coordinator.
share.coordinator.write.timeout.ms            int       5000        1..       read-only     H  no_meaning:rows
    How long a write of the share coordinator waits for its replicas.
group.streams.acceptable.recovery.lag         long      10000       0..       read-only     Mi  not_yet:streams_warmup
    How far behind a task's copy may be to count as caught up.
group.streams.assignment.interval.ms          int       1000        0..       cluster-wide  M  acts
    The least time between two assignments of a streams group.
group.streams.min.assignment.interval.ms      int       0           0..       read-only     M  acts
    The shortest assignment interval a streams group may set.
group.streams.max.assignment.interval.ms      int       15000       0..       read-only     M  acts
    The longest assignment interval a streams group may set.
group.streams.assignor.offload.enable         boolean   true        -         cluster-wide  Mi  no_meaning:streams_dealing
    Whether assignments of streams groups are computed beside the coordinator.
group.streams.assignors                       list      sticky      =         read-only     M  fixed:streams_assignor
    The assignors of streams groups, the default one first.
group.streams.heartbeat.interval.ms           int       5000        1..       read-only     M  acts
    How often members of streams groups send heartbeats.
group.streams.min.heartbeat.interval.ms       int       5000        1..       read-only     M  acts
    The shortest heartbeat interval a streams group may set.
group.streams.max.heartbeat.interval.ms       int       15000       1..       read-only     M  acts
    The longest heartbeat interval a streams group may set.
group.streams.initial.rebalance.delay.ms      int       3000        0..       read-only     M  acts
    How long a new streams group waits for more members.
group.streams.session.timeout.ms              int       45000       1..       read-only     M  acts
    The session time-out of streams groups.
group.streams.min.session.timeout.ms          int       45000       1..       read-only     M  acts
    The shortest session time-out a streams group may set.
group.streams.max.session.timeout.ms          int       60000       1..       read-only     M  acts
    The longest session time-out a streams group may set.
group.streams.max.size                        int       2147483647  1..       read-only     M  acts
    How many members a streams group may have.
group.streams.num.standby.replicas            int       0           0..       read-only     M  acts
    How many standby copies each task of a streams group has.
group.streams.max.standby.replicas            int       2           0..       read-only     M  acts
    The most standby copies a streams group may set.
group.streams.num.warmup.replicas             int       2           0..       read-only     Mi  not_yet:streams_warmup
    How many copies a streams group may warm up at once.
group.streams.max.warmup.replicas             int       20          0..       read-only     Mi  not_yet:streams_warmup
    The most copies a streams group may set to warm up at once.
group.streams.task.offset.interval.ms         int       60000       1..       read-only     Mi  acts
    How often members report how far their tasks are.
group.streams.min.task.offset.interval.ms     int       15000       1..       read-only     Mi  acts
    The shortest report interval a streams group may set.
group.streams.rack.aware.assignment.tags      list      ""          -         read-only     L  acts
    Client tags across which standby copies are spread.
group.streams.topology.description.plugin.class  class     -           =         read-only     M  fixed:java
    The class that keeps descriptions of streams topologies.
transaction.max.timeout.ms                    int       900000      1..       read-only     H  acts
    The longest time-out a transactional producer may ask for.
transactional.id.expiration.ms                int       604800000   1..       read-only     H  acts
    How long an idle transactional id is remembered.
transaction.abort.timed.out.transaction.cleanup.interval.ms  int       10000       1..       read-only     L  acts
    How often transactions whose time is over are aborted.
transaction.remove.expired.transaction.cleanup.interval.ms  int       3600000     1..       read-only     L  acts
    How often expired transactional ids are looked for.
transaction.partition.verification.enable     boolean   true        -         cluster-wide  L  acts
    Whether a batch of an older client is refused if its partition was not added to the transaction before; otherwise the batch adds it.
transaction.two.phase.commit.enable           boolean   false       -         read-only     L  not_yet:two_phase
    Whether producers may take part in two-phase commit.
add.partitions.to.txn.retry.backoff.ms        int       20          1..       read-only     H  no_meaning:txn_rows
    How long a broker waits before it asks again for a partition to be added to a transaction.
add.partitions.to.txn.retry.backoff.max.ms    int       100         0..       read-only     H  no_meaning:txn_rows
    How long a broker goes on asking for a partition to be added to a transaction.
transaction.state.log.load.buffer.size        int       5242880     1..       read-only     H  no_meaning:txn_rows
    How much is read at a time when a transaction coordinator loads.
transaction.state.log.min.isr                 int       2           1..       read-only     H  no_meaning:txn_rows
    How many replicas a write to the topic of transaction states needs.
transaction.state.log.num.partitions          int       50          1..       read-only     H  no_meaning:txn_rows
    How many partitions the topic of transaction states has.
transaction.state.log.replication.factor      short     3           1..       read-only     H  no_meaning:txn_rows
    How many replicas the topic of transaction states has.
transaction.state.log.segment.bytes           int       104857600   1..       read-only     H  no_meaning:txn_rows
    How large the segments of the topic of transaction states are.
"""
