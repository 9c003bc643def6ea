"""Random expressions and events within the limits: the event loop beside the router answers.

    DRILL_SEED=7 DRILL_SECONDS=600 pytest tests/drills/test_dear_expressions.py -rP --timeout 900

repeats a drill with the seed that an earlier drill printed. The router works as in a worker, with
evaluator processes. The drill measures how long the event loop does not answer. As other
processes share the machine, a stall counts only as far as this process used the CPU meanwhile.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from typing import Any

from activityctl.adapters.evaluator.pool import EvaluatorPool
from activityctl.daemon.worker.router import Router
from activityctl.domain.cel.program import Program, compiled
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import Listener
from activityctl.domain.values.ids import canonical_json
from support.drilled import seed
from support.routing_store import Store

SECONDS = float(os.environ.get("DRILL_SECONDS", "8"))
LONGEST_STALL = 0.2 if "DRILL_SECONDS" in os.environ else 1.0
"""Seconds. In the suite other tests share the two cores, so only a drill on request is strict."""
_EVERY = 0.005
_SIZES = (0, 1, 3, 30, 300, 3_000, 30_000, 200_000)
_MOST_BYTES = 1_000_000
_PATTERNS = ("^a+$", "(a|b)*c", "(a?){500}(a?){500}b", "((a{30}){30}){2}", "[^b]*b", "(?i)x{1,9}")


class Maker:
    """Makes expressions and events from a source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def number(self, depth: int) -> str:
        inner = self.chance.choice
        return (
            inner(
                [
                    lambda: str(self.chance.randrange(100)),
                    lambda: f"size({self.items(depth - 1)})",
                    lambda: f"size({self.text(depth - 1)})",
                    lambda: f"{self.text(depth - 1)}.indexOf({self.text(depth - 1)})",
                ]
            )()
            if depth > 0
            else "7"
        )

    def text(self, depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(["event.data.text", "event.data.part", "'a'", "string(x)"])
        return self.chance.choice(
            [
                lambda: f"({self.text(depth - 1)} + {self.text(depth - 1)})",
                lambda: f"{self.text(depth - 1)}.replace('a', {self.text(depth - 1)})",
                lambda: f"{self.text(depth - 1)}.upperAscii()",
                lambda: f"{self.items(depth - 1)}.map(y, string(y)).join('-')",
                lambda: f"'%s'.format([{self.items(depth - 1)}])",
                lambda: "event.data.text",
            ]
        )()

    def items(self, depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(["event.data.list", "event.data.names", "[1, 2]"])
        return self.chance.choice(
            [
                lambda: f"({self.items(depth - 1)} + {self.items(depth - 1)})",
                lambda: f"{self.items(depth - 1)}.map(x, {self.items(depth - 1)})",
                lambda: f"{self.items(depth - 1)}.filter(x, {self.truth(depth - 1)})",
                lambda: f"{self.text(depth - 1)}.split('a')",
                lambda: "event.data.names",
            ]
        )()

    def truth(self, depth: int) -> str:
        if depth <= 0:
            return self.chance.choice(["x == 3", "x in event.data.names", "true"])
        pattern = self.chance.choice(_PATTERNS)
        choices: list[Callable[[], str]] = [
            lambda: f"{self.items(depth - 1)}.exists(x, {self.truth(depth - 1)})",
            lambda: f"{self.items(depth - 1)}.all(x, {self.truth(depth - 1)})",
            lambda: f"{self.text(depth - 1)}.contains({self.text(depth - 1)})",
            lambda: f"{self.text(depth - 1)}.matches('{pattern}')",
            lambda: f"{self.text(depth - 1)}.matches({self.text(depth - 1)})",
            lambda: "event.data.map == event.data.other",
            lambda: f"{self.items(depth - 1)} == {self.items(depth - 1)}",
            lambda: f"{self.text(depth - 1)} in {self.items(depth - 1)}",
            lambda: f"{self.number(depth - 1)} < {self.number(depth - 1)}",
            lambda: f"({self.truth(depth - 1)} || {self.truth(depth - 1)})",
        ]
        return self.chance.choice(choices)()

    def filter(self) -> str:
        """Make a filter that compiles."""
        while True:
            body = self.truth(self.chance.randint(1, 4))
            source = f"[1].exists(x, {body})" if "x" in body else body
            if len(source) < 2_000 and isinstance(compiled(source), Program):
                return source

    def document(self, number: int) -> dict[str, Any]:
        """Make an event that is not larger than an event may be."""
        while True:
            size = self.chance.choice
            same = {f"k{key}": key for key in range(size(_SIZES[:7]))}
            data = {
                "list": [*range(size(_SIZES))],
                "names": [f"n{key}" for key in range(size(_SIZES))],
                "text": size(["a", "ab", "\N{SNOWMAN}"]) * size(_SIZES),
                "part": "a" * size(_SIZES) + "b",
                "map": same,
                "other": dict(same),
            }
            event = {"type": "t", "id": str(number), "source": "/s", "data": data}
            if len(canonical_json(event)) <= _MOST_BYTES:
                return event


class Heart:
    """Measures how long the event loop did not answer because of this process."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.longest_wall = 0.0

    async def beat(self) -> None:
        while True:
            started, used = time.monotonic(), time.process_time()
            await asyncio.sleep(_EVERY)
            stall = time.monotonic() - started - _EVERY
            self.longest_wall = max(self.longest_wall, stall)
            self.longest = max(self.longest, min(stall, time.process_time() - used))


async def test_the_event_loop_answers_beside_the_router_for_random_expressions() -> None:
    maker = Maker(random.Random(seed()))
    heart, pool = Heart(), EvaluatorPool()
    beating = asyncio.create_task(heart.beat())
    rounds, slowest, worst = 0, 0.0, ""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        rounds += 1
        sources = [maker.filter() for _ in range(3)]
        listeners = [
            Listener(
                f"s{number}", "t", EventTrigger.model_validate({"type": "t", "filter": source}), {}
            )
            for number, source in enumerate(sources)
        ]
        store = Store(listeners, await asyncio.to_thread(maker.document, rounds))
        before, started = heart.longest, time.monotonic()
        await Router(store, lambda: None, lambda: pool.session(5)).route()
        await asyncio.sleep(2 * _EVERY)
        slowest = max(slowest, time.monotonic() - started)
        worst = "; ".join(sources) if heart.longest > before else worst
        assert not store.waiting
    beating.cancel()
    pool.close()
    print(f"{rounds} events, longest stall {heart.longest * 1000:.0f} ms of our CPU")
    print(f"({heart.longest_wall * 1000:.0f} ms of wall clock), slowest event {slowest:.1f} s")
    print(f"longest stall with: {worst}")
    assert heart.longest < LONGEST_STALL, worst
