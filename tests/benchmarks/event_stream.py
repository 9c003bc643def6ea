"""Measure how fast events are read from each framing: parsed, made envelopes, digested.

    python tests/benchmarks/event_stream.py [--events 60000]

Prints events per second on one core; the target is 15,000 as envelopes.
"""

import argparse
import io
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO

from activityctl.adapters.manifests.event_stream import read_events
from activityctl.domain.events.envelope import envelope_of, fill
from activityctl.domain.events.input import ParsedEvent

NOW = datetime.now(UTC)


def event(number: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"order-{number:09}",
        "source": "https://shop.example/orders",
        "type": "order.created",
        "subject": f"customer/{number % 1000}",
        "time": "2026-05-01T12:00:00.123Z",
        "data": {"amount": number * 1.5, "customer": {"id": number % 1000}, "skus": ["a-1", "ü"]},
    }


def as_envelopes(stream: BinaryIO) -> int:
    read = (item for item in read_events(stream, "-") if isinstance(item, ParsedEvent))
    return sum(bool(envelope_of(item.value)) for item in read)


def as_rows(stream: BinaryIO) -> int:
    count = 0
    for item in read_events(stream, "-"):
        if isinstance(item, ParsedEvent):
            envelope = envelope_of(*fill(item.value, NOW, str))
            count += bool(envelope.digest and envelope.event_id)
    return count


STAGES: dict[str, Callable[[BinaryIO], int]] = {
    "parsed": lambda stream: sum(1 for _ in read_events(stream, "-")),
    "envelopes": as_envelopes,
    "with digest and id": as_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    count = parser.parse_args().events
    events = [event(number) for number in range(count)]
    framings = {
        "lines": "\n".join(map(json.dumps, events)),
        "array": json.dumps(events),
        "indented": "\n".join(json.dumps(document, indent=2) for document in events),
    }
    for framing, text in framings.items():
        for stage, work in STAGES.items():
            stream = io.BytesIO(text.encode())
            start = time.process_time()
            found = work(stream)
            seconds = time.process_time() - start
            print(f"{framing:9} {stage:19} {found / seconds:9,.0f} events a second")


if __name__ == "__main__":
    main()
