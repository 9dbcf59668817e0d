"""The harness that breaks brokers does what it says."""

from __future__ import annotations

import socket
import time

import pytest
from support.cluster import Single
from support.links import Links
from support.talker import Gone, Talker


@pytest.mark.slow
def test_a_single_broker_is_killed_paused_and_mended() -> None:
    with Single() as cluster:
        (node,) = cluster.nodes.values()
        port = node.port
        with Talker(cluster.bootstrap) as wire:
            assert wire.create_topic("t") == 0
        cluster.kill(1)
        assert not node.running
        with pytest.raises(Gone):
            Talker(cluster.address(1), 1.0)
        cluster.start(1)
        cluster.pause(1)
        assert node.running
        assert not node.answers(0.3)
        cluster.heal()
        assert node.answers(2)
        cluster.stop(1)
        cluster.heal()
        assert (node.starts, node.port) == (3, port)
        with Talker(cluster.bootstrap) as wire:
            assert wire.topics() == ["t"]
        assert "-- start 3 of broker 1" in cluster.logs()


@pytest.mark.slow
def test_a_broker_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"moldau\.log\.level"), Single(**{"moldau.log.level": "loudest"}):
        pass


def test_links_are_cut_stalled_slowed_and_mended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Links() as links:
        link = links.to(server.getsockname()[1])

        def passes(connection: socket.socket, seconds: float) -> bool:
            connection.settimeout(seconds)
            there, _ = server.accept()
            with there:
                connection.sendall(b"x")
                there.settimeout(seconds)
                try:
                    return there.recv(1) == b"x"
                except TimeoutError:
                    return False

        with socket.create_connection(("127.0.0.1", link.port)) as connection:
            assert passes(connection, 2)
        link.stall()
        with socket.create_connection(("127.0.0.1", link.port)) as connection:
            assert not passes(connection, 0.1)
        link.mend()
        link.slow(0.1)
        with socket.create_connection(("127.0.0.1", link.port)) as connection:
            began = time.monotonic()
            assert passes(connection, 2)
            assert time.monotonic() - began >= 0.1
        links.mend()
        link.cut()
        with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", link.port)) as connection:
            _must_answer(connection)


def _must_answer(connection: socket.socket) -> None:
    connection.settimeout(2)
    if not connection.recv(1):
        raise ConnectionResetError
