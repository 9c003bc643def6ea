"""A search for several regular expressions that is slow ends soon, and holds nobody up."""

import time

import pytest

from activityctl import wiring
from activityctl.errors import TooSlowError

SLOW = "(a?){40}(a?){40}(a?){40}(a*)*[bc]{30}d"


async def test_a_slow_search_for_several_expressions_ends_after_half_a_second(
    ports: wiring.Ports,
):
    texts = ["a" * 20_000 + "b" * 29] * 100
    began = time.monotonic()
    with pytest.raises(TooSlowError):
        await ports.logbook.matches([SLOW] * 20, texts)
    assert time.monotonic() - began < 20
    assert await ports.logbook.matches(["^a$", "b"], ["a", "b"]) == [[0], [1]]
