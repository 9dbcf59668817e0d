"""python -m bench.groups.rebalance BOOTSTRAP TOPIC PARTITIONS MEMBERS ROUNDS KILLS: how long a group is in motion.

Prints one line of JSON. ``start_s``: all members come at once. Then ROUNDS times one more joins (``join_s``), and one of the others closes (``close_s``); then
KILLS times one more joins and another one is killed directly after a heartbeat (``kill_s``: from then on, the session time-out is in it). Each is a list of seconds
until every partition has an owner again and every member its part.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from bench.groups.crowd import Crowd
from bench.groups.wire import Channel, coordinator, topic_id
from bench.rawload import run
from bench.rawwire import Failed

REST_SECONDS = 1.2
"""Between two changes: more than the assignment interval."""
SPREAD_SECONDS = 2.5
SETTLED_SECONDS_MAX = 90.0


class Trials:
    """Changes of one group, one after the other, at the same moments for every broker."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._rng = random.Random(848)

    async def _rest(self) -> None:
        await asyncio.sleep(REST_SECONDS + self._rng.random())

    async def join(self) -> float:
        await self._rest()
        member = await self._crowd.connected()
        began = time.perf_counter()
        self._crowd.join(member)
        return await self._crowd.settled(SETTLED_SECONDS_MAX) - began

    async def close(self) -> float:
        await self._rest()
        member = self._crowd.members[self._rng.randrange(len(self._crowd.members) - 1)]
        began = time.perf_counter()
        leaving = asyncio.ensure_future(member.leave())
        await asyncio.sleep(0)
        at = await self._crowd.settled(SETTLED_SECONDS_MAX)
        await leaving
        return at - began

    async def kill(self) -> float:
        await self._rest()
        await self._crowd.members[self._rng.randrange(len(self._crowd.members) - 1)].kill()
        began = time.perf_counter()
        return await self._crowd.settled(SETTLED_SECONDS_MAX) - began


async def measure(bootstrap: str, topic: str, partitions: int, members: int, rounds: int, kills: int) -> dict[str, Any]:
    group = f"rebalance-{uuid.uuid4().hex}"
    side = await Channel.open(bootstrap)
    await coordinator(side, group)
    crowd = Crowd(bootstrap, group, topic, await topic_id(side, topic), partitions)
    found: dict[str, list[float]] = {"start_s": [await crowd.start(members)], "join_s": [], "close_s": [], "kill_s": []}
    crowd.spread()
    await asyncio.sleep(SPREAD_SECONDS)
    trials = Trials(crowd)
    for _ in range(rounds):
        found["join_s"].append(await trials.join())
        found["close_s"].append(await trials.close())
    for _ in range(kills):
        await trials.join()
        found["kill_s"].append(await trials.kill())
    await crowd.leave()
    return found


def main(arguments: Sequence[str]) -> None:
    bootstrap, topic, *numbers = arguments
    partitions, members, rounds, kills = (int(each) for each in numbers)
    try:
        print(json.dumps(run(measure(bootstrap, topic, partitions, members, rounds, kills))), flush=True)
    except Failed as e:
        sys.exit(f"rebalance: {e}")


if __name__ == "__main__":
    main(sys.argv[1:])
