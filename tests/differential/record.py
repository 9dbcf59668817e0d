"""Write `recorded/*.json`: what Apache Kafka answers. Run: `.venv/bin/python tests/differential/record.py [SCENARIO...]`.

Needs Java and Maven. `--port PORT` talks to a running node instead of starting one, which must be fresh; `--check` writes nothing and fails when
an answer is not the recorded one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from answers import PAUSE, SETTINGS, compare, load, names, play_all, store  # noqa: E402

from conformance.common.brokers import Kafka, terminated_as_exit  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(names()))
    parser.add_argument("--port", type=int)
    parser.add_argument("--check", action="store_true")
    o = parser.parse_args()
    wanted = o.scenarios or names()
    if o.port:
        found = play_all(o.port, wanted, PAUSE)
    else:
        with Kafka({**SETTINGS, "authorizer.class.name": ""}) as kafka:
            found = play_all(kafka.port, wanted, PAUSE)
    broken = [
        f"{name} version {v}: {n[-1][1]}" for name, vs in found.items() for v, n in vs.items() if n[-1][0] == "broke"
    ]
    if broken:
        print("\n".join(broken))
        return 1
    if not o.check:
        for name, versions in found.items():
            store(name, versions)
        print(f"wrote {len(found)} scenarios")
        return 0
    differences = [d for name in wanted for d in compare(name, load(name), found[name])]
    for d in differences:
        print(json.dumps(d._asdict()))
    return 1 if differences else 0


if __name__ == "__main__":
    with terminated_as_exit():
        sys.exit(main())
