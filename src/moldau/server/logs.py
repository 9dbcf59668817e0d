"""Log lines on standard error: text for people, one JSON object a line for machines."""

from __future__ import annotations

import logging
import re
import sys
import time


class JsonFormatter(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`, `worker` where there are several, the `key=value` pairs of the message, and `traceback` where there is one."""

    converter = staticmethod(time.gmtime)

    def __init__(self, worker: int = 0) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        import json

        message = record.getMessage()
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if self._worker:
            line["worker"] = self._worker
        for key, value in pairs(message).items():
            line.setdefault(key, value)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def pairs(message: str) -> dict[str, str]:
    """The `key=value` pairs of a message; a value goes on up to the next ` key=`, quotes around it are dropped."""
    found = {}
    matches = list(re.finditer(r"(?:^| )([a-z_]+)=", message))
    ends = [match.start() for match in matches[1:]] + [len(message)]
    for match, end in zip(matches, ends, strict=False):
        value = message[match.end() : end]
        quoted = len(value) > 1 and value[0] == value[-1] == "'"
        found[match[1]] = value[1:-1] if quoted else value
    return found


def start_logs(level: int, form: str, worker: int = 0) -> None:
    """Begin to log; `form` is text or json. The number of a worker is in each of its lines."""
    handler = logging.StreamHandler(sys.stderr)
    mark = f"worker={worker} " if worker else ""
    handler.setFormatter(
        JsonFormatter(worker)
        if form == "json"
        else logging.Formatter(f"%(asctime)s %(levelname)s {mark}%(name)s %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
