"""The peer of `peer.py`: a program that does durable jobs with DBOS. It needs only `dbos`.

It reads commands such as `queue 500` or `process 500` from standard input, and writes for each one
line of JSON with the seconds and its own CPU seconds.
"""

import json
import os
import sys
import time

from dbos import DBOS, Queue

CONCURRENCY = 50
POLL_SECONDS = 0.05  # the default of 1 s would decide all figures of a queue


@DBOS.step()
def job() -> None:
    """Do nothing."""


@DBOS.workflow()
def run() -> None:
    """Do one durable job."""
    job()


def in_queue(queue: Queue, count: int) -> None:
    """Put jobs in the queue, and wait for all of them."""
    for handle in [queue.enqueue(run) for _ in range(count)]:
        handle.get_result()


def in_process(count: int) -> None:
    """Do the jobs one after another in this process."""
    for _ in range(count):
        run()


def main() -> None:
    """Carry out the commands of standard input."""
    DBOS(config={"name": "peer", "system_database_url": sys.argv[1], "log_level": "WARNING"})
    DBOS.launch()
    queue = DBOS.register_queue("jobs", concurrency=CONCURRENCY, polling_interval_sec=POLL_SECONDS)
    print("{}", flush=True)
    for line in sys.stdin:
        kind, count = line.split()
        start, before = time.perf_counter(), os.times()
        if kind == "queue":
            in_queue(queue, int(count))
        else:
            in_process(int(count))
        after = os.times()
        cpu = after.user + after.system - before.user - before.system
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": cpu}), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
