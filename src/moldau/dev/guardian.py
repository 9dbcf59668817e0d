"""Ends what `moldau dev` started when that was killed itself: no process and no temporary folder stays behind.

The guardian is a small process that leads a process group which all the others join, so none can be forgotten. It reads a pipe that the supervisor
holds open; when the pipe ends without the word that all is done, it ends the group, waits until nobody of it is left (each holds an end of a second
pipe), and removes the folder. It works where there is no PR_SET_PDEATHSIG, and for PostgreSQL under another user.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys

DONE = b"done"
_WAIT_SECONDS = 5.0


class Guardian:
    """`group` is the process group to join, `token` the descriptor that each of the group must inherit."""

    def __init__(self, temporary: str = "") -> None:
        """`temporary` is a folder that goes with the cluster."""
        # a shell without job control starts "command &" with it ignored, and so would all of the group
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        alive, self.token = os.pipe()
        command = [sys.executable, "-m", "moldau.dev.guardian", str(alive), temporary]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
            pass_fds=(alive,),
        )
        os.close(alive)
        self.group = self._process.pid

    def done(self) -> None:
        """All of the group have ended in order, and the folder is gone or stays."""
        os.close(self.token)
        self._process.communicate(DONE)


def watch(alive: int, temporary: str) -> None:
    """The guardian's life."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == DONE:
        return
    if temporary and os.fork() == 0:
        os.setsid()  # out of the group, which may have to be killed
        select.select([alive], [], [], 2 * _WAIT_SECONDS)
        shutil.rmtree(temporary, ignore_errors=True)
        return
    os.killpg(0, signal.SIGQUIT)  # the end of a broker; PostgreSQL takes its children along
    select.select([alive], [], [], _WAIT_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
