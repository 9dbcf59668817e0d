"""Code blocks of the pages, run as a reader would run them.

A page is read from top to bottom: its blocks share a folder and a broker, so that a later block may use what an earlier one made.

- ```` ```sh ````: a script for bash. `moldau serve ...` or `make serve` starts the page's broker (one runs from the beginning anyway); every
  other broker address is that of the one that runs. `moldau dev ...` without a command starts a cluster in its place, whose ports stand for 9092 and
  those after it. Where a ```` ```text ```` block follows, it is what the script prints.
- ```` ```python ````: a script. If its first line is a comment that names a file, as in `# conftest.py`, it is written there instead.
- ```` ```properties ````: a server.properties file that a broker would take.

A block that cannot run says so in the line above it: `<!-- not run: REASON -->`. In a text block a line `...` stands for any lines, and figures of
time (`1.3 s`, `(256,066 a second)`) for any figures.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.dev_cluster import DevCluster

from moldau.broker.config.acting import options_of
from moldau.broker.config.settings import Settings
from moldau.testing import BrokerProcess

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: \S.* -->\n+\Z")
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_SERVE = re.compile(r"^(?:\S*\bmoldau serve|make serve)\b(.*)$")
_DEV = re.compile(r"^moldau dev((?: --[\w-]+ \S+)*)$")
_DEV_COMMAND = re.compile(r"\bmoldau dev (?=status|kill|start|stop)")
_PORT_FIRST = 9092
_TIME = re.compile(r"\b[\d,.]+ (s|ms|a second)\b")
_SECONDS = 120


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is that of its fence, from 1; `prints` is what it should print, if the page says so."""

    language: str
    text: str
    line: int
    runs: bool
    prints: str | None


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page but those that only show what the one before them prints."""
    found: list[Block] = []
    matches = list(_FENCE.finditer(page))
    for index, match in enumerate(matches):
        language, text = match.groups()
        before = page[: match.start()]
        if language == "text":
            continue
        prints = None
        if index + 1 < len(matches) and matches[index + 1][1] == "text":
            prints = matches[index + 1][2]
        found.append(Block(language, text, before.count("\n") + 1, _NOT_RUN.search(before) is None, prints))
    return found


def agrees(expected: str, printed: str) -> bool:
    """Whether `printed` is what the page promises; see above for what may differ."""
    parts = [re.escape(_TIME.sub(r"# \1", part)) for part in re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE)]
    return re.fullmatch("(?s:.*)".join(parts), _TIME.sub(r"# \1", printed)) is not None


class Reader:
    """Runs blocks in `folder`; raises AssertionError, which says what was printed, when one fails."""

    def __init__(self, folder: Path, broker: BrokerProcess) -> None:
        self.folder = folder
        self._broker = broker
        self._served: list[subprocess.Popen[str]] = []
        self._cluster: DevCluster | None = None
        self._address = broker.bootstrap
        (folder / "examples").symlink_to(ROOT / "examples")

    def run(self, block: Block) -> None:
        """Run it, write its file, or do nothing with it, as its language says."""
        if not block.runs:
            return
        named = _FILE.match(block.text)
        if named:
            (self.folder / named[1]).write_text(self._here(block.text))
        elif block.language == "sh":
            self._shell(block)
        elif block.language == "properties":
            (self.folder / "server.properties").write_text(block.text)
            settings = Settings.load(self.folder / "server.properties", env={})
            assert settings.listeners.bound
            options_of(settings)
        elif block.language == "python":
            self._check(block, subprocess.run([sys.executable, "-"], input=self._here(block.text), **self._how()))

    def _shell(self, block: Block) -> None:
        script = []
        for line in block.text.splitlines():
            serve, cluster = _SERVE.match(line), _DEV.match(line)
            if serve is not None:
                self._serve(serve[1].partition("  #")[0])
            elif cluster is not None:
                self._start_cluster(block, cluster[1].split())
                return
            else:
                script.append(line)
        done = subprocess.run(["bash", "-euo", "pipefail"], input=self._here("\n".join(script)), **self._how())
        self._check(block, done)

    def _serve(self, arguments: str) -> None:
        """What the page says, on a free port; it takes the place of the one before."""
        self.stop()
        script = f"exec moldau serve {arguments} --set moldau.http.listener= --set listeners=PLAINTEXT://127.0.0.1:0"
        broker = subprocess.Popen(
            ["bash", "-c", script], cwd=self.folder, env=self._env(), stdout=subprocess.PIPE, text=True
        )
        self._served.append(broker)
        assert broker.stdout is not None
        line = broker.stdout.readline()
        assert line, f"'moldau serve{arguments}' did not start"
        self._address = line.split()[-1]

    def _start_cluster(self, block: Block, arguments: list[str]) -> None:
        """What the page says, on free ports; it is the only line of its block."""
        self.stop()
        self._cluster = DevCluster(self.folder, *arguments, env=self._env())
        self._cluster.__enter__()
        self._address = self._cluster.addresses[0]
        self._cluster.wait_for("Ctrl-C here")
        told = self._cluster.out.replace(f" --port {self._cluster.port}", "")
        for number, address in enumerate(self._cluster.addresses):
            told = told.replace(address, f"127.0.0.1:{_PORT_FIRST + number}")
        assert block.prints is None or agrees(block.prints, told), told

    def stop(self) -> None:
        """End what the page started."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            assert cluster.end() == 0, cluster.out
        while self._served:
            broker = self._served.pop()
            broker.terminate()
            broker.wait(20)
            assert broker.stdout is not None
            broker.stdout.close()

    def _here(self, text: str) -> str:
        text = text.replace(".venv/bin/", "")
        if self._cluster is not None:
            first = self._cluster.port
            text = re.sub(
                r"127\.0\.0\.1:(909\d)\b", lambda found: f"127.0.0.1:{first + int(found[1]) - _PORT_FIRST}", text
            )
            text = _DEV_COMMAND.sub(f"moldau dev --port {first} ", text)
        return re.sub(r"(127\.0\.0\.1|localhost):9092", self._address, text)

    def _env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MOLDAU_BOOTSTRAP": self._address,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "NO_COLOR": "1",
        }

    def _how(self) -> dict[str, object]:
        return {"cwd": self.folder, "env": self._env(), "capture_output": True, "text": True, "timeout": _SECONDS}

    def _check(self, block: Block, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 0, f"exit code {done.returncode} of:\n{block.text}\n{done.stdout}{done.stderr}"
        if block.prints is not None:
            assert agrees(block.prints, done.stdout), f"the page says:\n{block.prints}\nit prints:\n{done.stdout}"
