"""Measure matching of events with a thousand subscriptions, of which each event matches one.

    python tests/benchmarks/matching.py [--subscriptions 1000] [--events 10000] [--rounds 5]

Subscriptions differ in one of several ways. For each way it prints:

- the seconds to build the index (the target is 2 for 10,000 subscriptions),
- the seconds of the first round, which compiles the filters,
- the events matched per second on one core (median of the later rounds; the target is 5,000 for
  1,000 subscriptions),
- the microseconds to match one trigger with one event without an index.

All times are CPU times, because other processes share the machine.
"""

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.index import EventIndex, Listener, Matched
from activityctl.domain.routing.matching import match

VARIANTS: dict[str, str] = {
    "exact type": "each its own type",
    "type pattern": "type: order.<n>.*",
    "source": "same type, each its own source",
    "match": "same type, match: {data.customer: c<n>}",
    "filter ==": "same type, filter: event.data.customer == params.customer",
    "filter <": "same type, filter: an interval of event.data.amount by params",
    "filter text": "same type, filter: event.data.customer.startsWith(params.prefix)",
    "own ==": 'same type, filter: "c<n>" == event.data.customer && event.data.amount > 0',
    "own in": 'same type, filter: event.data.customer in ["c<n>", "d<n>"]',
    "own ||": "same type, filter: two equalities of event.data.customer joined by ||",
    "has &&": "same type, filter: has(event.data.customer) && … == params.customer",
    "own <": "same type, filter: an interval of event.data.amount by numbers written out",
    "own filters": 'same type, filter: event.data.customer.startsWith("c<n>-")',
    "contains": 'same type, filter: event.data.customer.contains("-<n>-")',
    "any case": "same type, filter: event.data.customer.lowerAscii().contains(params.inside)",
    "matches": 'same type, filter: event.data.customer.matches("^[a-z]+-<n>-$")',
    "contains ||": "same type, filter: contains in one field or in another one",
    "in list": "same type, filter: params.sku in event.data.tags",
    "exists": "same type, filter: event.data.items.exists(i, i.sku == params.sku)",
    "sum": "same type, filter: an interval of event.data.amount * 2.0 by numbers written out",
    "remainder": "same type, filter: size(event.data.customer) + event.data.number == <n>",
    "no table": "same type, filter: no two read the event in the same way",
}
INSIDE = {"contains", "any case", "matches", "contains ||", "no table"}
NAME, SUM = "event.data.customer", "event.data.amount"
FILTERS: dict[str, Callable[[int], str]] = {
    "filter ==": lambda _: f"{NAME} == params.customer",
    "filter <": lambda _: f"{SUM} >= params.low && {SUM} < params.high",
    "filter text": lambda _: f"{NAME}.startsWith(params.prefix)",
    "own ==": lambda number: f'"c{number}" == {NAME} && {SUM} > 0',
    "own in": lambda number: f'{NAME} in ["c{number}", "d{number}"]',
    "own ||": lambda number: f'{NAME} == "c{number}" || {NAME} == "d{number}"',
    "has &&": lambda _: f"has({NAME}) && {NAME} == params.customer",
    "own <": lambda number: f"{SUM} >= {number} && {SUM} < {number + 1}",
    "own filters": lambda number: f'{NAME}.startsWith("c{number}-")',
    "contains": lambda number: f'{NAME}.contains("-{number}-")',
    "any case": lambda _: f"{NAME}.lowerAscii().contains(params.inside)",
    "matches": lambda number: f'{NAME}.matches("^[a-z]+-{number}-$")',
    "contains ||": lambda number: (
        f'{NAME}.contains("-{number}-") || event.data.region.contains("r{number}.")'
    ),
    "in list": lambda _: "params.sku in event.data.tags",
    "exists": lambda _: "event.data.items.exists(i, i.sku == params.sku)",
    "sum": lambda number: f"{SUM} * 2.0 >= {2 * number}.0 && {SUM} * 2.0 < {2 * number + 2}.0",
    "remainder": lambda number: f"size({NAME}) + event.data.number == {number}",
    "no table": lambda number: f'{NAME} + "{number}" == "customer-{number}-{number}"',
}


def listener_of(variant: str, number: int) -> Listener:
    """Return a listener that only events of its number match."""
    body: dict[str, Any] = {"type": "order.created"}
    match variant:
        case "exact type":
            body["type"] = f"order.{number}"
        case "type pattern":
            body["type"] = f"order.{number}.*"
        case "source":
            body["source"] = f"/shops/{number}"
        case "match":
            body["match"] = {"data.customer": f"c{number}"}
        case _:
            body["filter"] = FILTERS[variant](number)
    name = f"c{number}"
    params = {"customer": name, "prefix": f"{name}-", "low": number, "high": number + 1}
    params |= {"inside": f"-{number}-", "sku": f"sku-{number}"}
    return Listener(f"subscription-{number}", "trigger", EventTrigger.model_validate(body), params)


def event(variant: str, serial: int, number: int) -> dict[str, Any]:
    """Return an event of about 600 bytes that matches the listener of that number."""
    kind = {"exact type": f"order.{number}", "type pattern": f"order.{number}.created"}
    customer = f"c{number}-x" if variant in {"filter text", "own filters"} else f"c{number}"
    if variant in INSIDE:
        customer = f"customer-{number}-"
    return {
        "specversion": "1.0",
        "id": f"{serial:012}",
        "source": f"/shops/{number}",
        "type": kind.get(variant, "order.created"),
        "subject": f"order-{serial}",
        "time": "2026-11-21T12:00:00Z",
        "data": {
            "customer": customer,
            "amount": number + 0.5,
            "number": number - len(customer),
            "region": "eu",
            "tags": ["new", f"sku-{number}", "large"],
            "address": {"street": "Long Street 12", "city": "Hamburg", "country": "DE"},
            "items": [
                {"sku": f"sku-{number if line == 3 else f'x{line}'}", "count": line, "price": 9.5}
                for line in range(5)
            ],
        },
    }


def events(variant: str, count: int, subscriptions: int) -> Iterator[dict[str, Any]]:
    """Yield events that match one listener after another."""
    for serial in range(count):
        yield event(variant, serial, serial * 7919 % subscriptions)


def main() -> None:
    """Measure each variant and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=VARIANTS)
    chosen = parser.parse_args()
    print(f"{'variant':14}{'build s':>9}{'first s':>9}{'events/s':>10}{'one by one':>12}")
    for variant, meaning in VARIANTS.items():
        if chosen.only in {None, variant}:
            line = measure(variant, chosen.subscriptions, chosen.events, chosen.rounds)
            print(f"{variant:14}{line}   {meaning}", flush=True)


def measure(variant: str, subscriptions: int, count: int, rounds: int) -> str:
    """Return the figures of a variant; check that each event matches only its subscription."""
    listeners = [listener_of(variant, number) for number in range(subscriptions)]
    random.Random(5).shuffle(listeners)
    some = list(events(variant, count, subscriptions))
    gc.collect()
    started = time.process_time()
    index = EventIndex(listeners)
    built = time.process_time() - started
    took = [_round(index, some) for _ in range(rounds + 1)]
    rate = count / statistics.median(took[1:])
    return f"{built:9.2f}{took[0]:9.2f}{rate:10,.0f}{_without_index(listeners, some[0]):9.1f} µs"


def _round(index: EventIndex, some: list[dict[str, Any]]) -> float:
    started = time.process_time()
    found = [index.matches(document) for document in some]
    took = time.process_time() - started
    for document, matches in zip(some, found, strict=True):
        (only,) = matches
        number = document["source"].rpartition("/")[2]
        assert isinstance(only, Matched)
        assert only.listener.subscription == f"subscription-{number}"
    return took


def _without_index(listeners: list[Listener], document: dict[str, Any]) -> float:
    started = time.process_time()
    for listener in listeners:
        match(listener.event, listener.params, document)
    return (time.process_time() - started) / len(listeners) * 1e6


if __name__ == "__main__":
    main()
