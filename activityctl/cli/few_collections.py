"""Lets Python look for garbage in circles less often while a command makes many objects."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_OBJECTS: Final = 50_000
"""So many new objects, before the youngest are looked at; Python's own number is 700."""


@contextmanager
def few_collections() -> Iterator[None]:
    """Collect seldom within the block: events and manifests form no circles.

    A third of the time to read ten thousand manifests went into looking for circles.
    """
    often = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS, *often[1:])
    try:
        yield
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()
