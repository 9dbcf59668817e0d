"""Broker keys of listeners, connections, requests and fetching."""

from __future__ import annotations

from typing import Final

TABLE: Final = """
listeners                                     list      PLAINTEXT://127.0.0.1:9092  -         read-only     H  acts
    Where the broker listens, as a comma-separated list of NAME://HOST:PORT; an empty host is every interface, port 0 any free port.
advertised.listeners                          list      -           -         read-only     H  acts
    What clients are told to connect to, by listener name; unset, the addresses in `listeners`.
listener.security.protocol.map                string    SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT  -         read-only     L  acts
    Which security protocol each listener name speaks, as NAME:PROTOCOL pairs; only PLAINTEXT is served so far.
early.start.listeners                         list      -           -         read-only     H  no_meaning:one_start
    Listeners that open before the authorizer is ready.
inter.broker.listener.name                    string    -           -         read-only     M  no_meaning:replication
    Which listener brokers use to reach each other.
security.inter.broker.protocol                string    PLAINTEXT   PLAINTEXT,SSL,SASL_PLAINTEXT,SASL_SSL  read-only     M  no_meaning:replication
    Which security protocol brokers use to reach each other.
connections.max.idle.ms                       long      600000      -         read-only     M  acts
    A connection that was silent for this long is closed.
connections.max.reauth.ms                     long      0           -         read-only     M  not_yet:security
    How long a SASL session lasts before the client must authenticate again; 0 is for ever.
connection.failed.authentication.delay.ms     int       100         0..       read-only     L  not_yet:security
    How long the answer to a failed authentication is held back.
max.connections                               int       2147483647  0..       cluster-wide  M  acts
    How many connections the broker keeps at once; further ones are closed as soon as they are accepted. A single listener's limit is `listener.name.NAME.max.connections`.
max.connections.per.ip                        int       2147483647  0..       cluster-wide  M  acts
    How many connections one client address may keep at once.
max.connections.per.ip.overrides              string    ""          hosts     cluster-wide  M  acts
    Other limits for single addresses or host names, as HOST:COUNT pairs.
max.connection.creation.rate                  int       2147483647  0..       cluster-wide  M  not_yet:quotas
    How many connections a second the broker accepts.
queued.max.requests                           int       500         1..       read-only     H  no_meaning:bytes_bound
    How many requests may wait for a request thread.
queued.max.request.bytes                      long      -1          -         read-only     M  acts
    How many bytes of requests may be in the broker at once; above it sockets are not read. -1 is 32 MiB.
max.request.partition.size.limit              int       2000        1..       read-only     M  acts
    How many partitions one request of DescribeTopicPartitions may be answered with.
request.timeout.ms                            int       30000       -         read-only     H  no_meaning:replication
    How long a broker waits for another broker's answer.
socket.listen.backlog.size                    int       50          1..       read-only     M  acts
    How many connections may wait to be accepted by a listener.
socket.receive.buffer.bytes                   int       102400      1..|-1    read-only     H  acts
    The receive buffer of each connection's socket; -1 leaves it to the system.
socket.send.buffer.bytes                      int       102400      1..|-1    read-only     H  acts
    The send buffer of each connection's socket; -1 leaves it to the system.
socket.request.max.bytes                      int       104857600   1..       read-only     H  acts
    A larger request closes the connection.
socket.connection.setup.timeout.ms            long      10000       -         read-only     M  no_meaning:replication
    How long a broker tries to connect to another the first time.
socket.connection.setup.timeout.max.ms        long      30000       -         read-only     M  no_meaning:replication
    The ceiling of the time a broker tries to connect to another.
num.network.threads                           int       3           1..       cluster-wide  H  no_meaning:threads
    How many threads read and write sockets.
num.io.threads                                int       8           1..       cluster-wide  H  no_meaning:threads
    How many threads handle requests.
background.threads                            int       10          1..       cluster-wide  H  no_meaning:threads
    How many threads do background work.
max.incremental.fetch.session.cache.slots     int       1000        0..       read-only     M  acts
    How many incremental fetch sessions the broker remembers; beyond it the least useful one goes.
fetch.max.bytes                               int       57671680    1024..    read-only     M  acts
    The most bytes of records in one fetch response, whatever the client allows; a first batch that is larger is still returned whole.
fetch.purgatory.purge.interval.requests       int       1000        -         read-only     M  no_meaning:purgatory
    After how many requests finished fetches are swept from the waiting room.
producer.purgatory.purge.interval.requests    int       1000        -         read-only     M  no_meaning:purgatory
    After how many requests finished produce requests are swept from the waiting room.
delete.records.purgatory.purge.interval.requests  int       1           -         read-only     M  no_meaning:purgatory
    After how many requests finished deletions are swept from the waiting room.
share.fetch.purgatory.purge.interval.requests  int       1000        -         read-only     M  no_meaning:purgatory
    After how many requests finished share fetches are swept from the waiting room.
unstable.api.versions.enable                  boolean   false       =         read-only     Hi  fixed:stable
    Whether versions of APIs that are still in development are offered.
unstable.feature.versions.enable              boolean   false       =         read-only     Hi  fixed:stable
    Whether feature levels that are still in development may be turned on.
server.max.startup.time.ms                    long      9223372036854775807  0..       read-only     Mi  no_meaning:one_start
    How long a start may take before the broker gives up.
"""
