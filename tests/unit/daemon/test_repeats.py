import logging
from collections.abc import Iterator

import pytest

from activityctl.daemon.repeats import RepeatFilter

FIELDS = frozenset({"run"})


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def log(lines: list[str]) -> Iterator[logging.Logger]:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Handler()
    handler.addFilter(RepeatFilter(FIELDS))
    logger = logging.getLogger("test_repeats")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def test_equal_warnings_are_written_at_a_falling_rate_with_a_count(
    log: logging.Logger, lines: list[str]
):
    for _ in range(1_000):
        log.warning("could not start %d runs", 3)
    assert lines[:3] == [
        "could not start 3 runs",
        "could not start 3 runs (2 times so far)",
        "could not start 3 runs (4 times so far)",
    ]
    assert len(lines) == 10


def test_different_texts_and_fields_are_counted_apart(log: logging.Logger, lines: list[str]):
    for number in range(5):
        log.warning("slow", extra={"run": f"run-{number}"})
        log.warning("slow: %d", number)
    assert len(lines) == 10


def test_information_is_always_written(log: logging.Logger, lines: list[str]):
    for _ in range(20):
        log.info("worker ready")
    assert len(lines) == 20


def test_a_warning_that_comes_again_after_a_long_time_is_new(
    log: logging.Logger, lines: list[str], monkeypatch: pytest.MonkeyPatch
):
    now = 1_000.0
    monkeypatch.setattr("logging.time.time", lambda: now)
    monkeypatch.setattr("logging.time.time_ns", lambda: int(now * 1e9), raising=False)
    for _ in range(3):
        log.warning("slow")
    now += 601
    log.warning("slow")
    assert lines == ["slow", "slow (2 times so far)", "slow"]
