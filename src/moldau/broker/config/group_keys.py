"""Keys of groups and of client-metrics subscriptions; the fifth column is the broker key that a group inherits from."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
consumer.session.timeout.ms                int       45000       1..       group.consumer.session.timeout.ms  M  acts
    After how long a silent member of the group counts as gone.
consumer.heartbeat.interval.ms             int       5000        1..       group.consumer.heartbeat.interval.ms  M  acts
    How often members of the group send heartbeats.
consumer.assignment.interval.ms            int       1000        0..       group.consumer.assignment.interval.ms  M  acts
    The least time between two assignments of the group.
consumer.assignor.offload.enable           boolean   true        -         group.consumer.assignor.offload.enable  Mi  acts
    Whether the group's assignments are computed beside the coordinator.
share.auto.offset.reset                    string    latest      latest,earliest,by_duration:PnDTnHnMn.nS  -               M  acts
    Where a share group begins to read a partition it has no state of.
share.isolation.level                      string    read_uncommitted  read_committed,read_uncommitted  -               M  acts
    Whether a share group sees records of open and aborted transactions.
share.session.timeout.ms                   int       45000       1..       group.share.session.timeout.ms  M  acts
    After how long a silent member of the group counts as gone.
share.heartbeat.interval.ms                int       5000        1..       group.share.heartbeat.interval.ms  M  acts
    How often members of the group send heartbeats.
share.assignment.interval.ms               int       1000        0..       group.share.assignment.interval.ms  M  acts
    The least time between two assignments of the group.
share.assignor.offload.enable              boolean   true        -         group.share.assignor.offload.enable  Mi  acts
    Whether the group's assignments are computed beside the coordinator.
share.delivery.count.limit                 int       5           2..       group.share.delivery.count.limit  M  acts
    How often a record is delivered before it is given up.
share.partition.max.record.locks           int       2000        100..     group.share.partition.max.record.locks  M  acts
    How many records of a partition may be out for delivery at once.
share.record.lock.duration.ms              int       30000       1000..    group.share.record.lock.duration.ms  M  acts
    How long a delivered record is locked for its consumer.
share.renew.acknowledge.enable             boolean   true        -         -               M  acts
    Whether consumers may renew the lock of a record.
errors.deadletterqueue.topic.name          string    ""          -         -               M  acts
    Which topic gets the records that the group gave up.
errors.deadletterqueue.copy.record.enable  boolean   false       -         -               M  acts
    Whether given-up records are copied whole or only named.
streams.session.timeout.ms                 int       45000       1..       group.streams.session.timeout.ms  M  acts
    After how long a silent member of the group counts as gone.
streams.heartbeat.interval.ms              int       5000        1..       group.streams.heartbeat.interval.ms  M  acts
    How often members of the group send heartbeats.
streams.initial.rebalance.delay.ms         int       3000        0..       group.streams.initial.rebalance.delay.ms  M  acts
    How long the new group waits for more members.
streams.assignment.interval.ms             int       1000        0..       group.streams.assignment.interval.ms  M  acts
    The least time between two assignments of the group.
streams.assignor.name                      string    -           sticky    group.streams.assignors  M  fixed:streams_assignor
    Which assignor the group uses; unset, the broker's default one.
streams.assignor.offload.enable            boolean   true        -         group.streams.assignor.offload.enable  Mi  no_meaning:streams_dealing
    Whether the group's assignments are computed beside the coordinator.
streams.num.standby.replicas               int       0           0..       group.streams.num.standby.replicas  M  acts
    How many standby copies each task has.
streams.num.warmup.replicas                int       2           0..       group.streams.num.warmup.replicas  Mi  not_yet:streams_warmup
    How many copies may be warmed up at once.
streams.acceptable.recovery.lag            long      10000       0..       group.streams.acceptable.recovery.lag  Mi  not_yet:streams_warmup
    How far behind a task's copy may be to count as caught up.
streams.task.offset.interval.ms            int       60000       1..       group.streams.task.offset.interval.ms  Mi  acts
    How often members report how far their tasks are.
streams.rack.aware.assignment.tags         list      ""          -         group.streams.rack.aware.assignment.tags  L  acts
    Client tags across which standby copies are spread.
"""

CLIENT_METRICS_TABLE: Final = """
interval.ms  int       300000  -  -  M  not_yet:telemetry
    How often clients push their metrics.
match        list      ""      -  -  M  not_yet:telemetry
    Which clients the subscription is for, as NAME=PATTERN pairs.
metrics      list      ""      -  -  M  not_yet:telemetry
    Which metrics clients push, by the beginnings of their names.
"""
