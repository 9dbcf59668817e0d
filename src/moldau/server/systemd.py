"""sd_notify(3): how a service of type `notify` tells systemd that it serves, and that it stops. A no-op anywhere else."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """A datagram to $NOTIFY_SOCKET, if there is one: `READY=1`, `STOPPING=1`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        try:
            link.connect("\0" + address[1:] if address.startswith("@") else address)
            link.sendall(state.encode())
        except OSError as error:
            log.warning("event=notify_failed socket=%s error=%s", address, error.strerror)
