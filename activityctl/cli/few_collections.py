"""Lets Python look for garbage in circles less often, while a command imports or makes much."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_OBJECTS: Final = 50_000
"""So many new objects, before the youngest are looked at; other commands look after fewer."""


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect nothing within the block: imports leave no garbage, and a look takes 0.1 s.

    What was imported is never looked at again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect seldom within the block: events and manifests form no circles.

    A third of the time to read ten thousand manifests went into looking for circles. What is there
    before stays, as in every short process, so it is never looked at again.
    """
    often = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS, *often[1:])
    try:
        yield
    finally:
        gc.set_threshold(*often)
