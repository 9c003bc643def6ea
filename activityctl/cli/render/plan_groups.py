"""Equal changes of a plan, put together: 300 schedules that move alike are one entry."""

from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

LEAST: Final = 3
"""Fewer equal changes than these are shown one by one."""

Item = TypeVar("Item")


def groups_of(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Return the items in groups of equal keys, in the order of the first of each group.

    A group of fewer than LEAST items is split into single ones, each at its place.
    """
    listed = list(items)
    keys = [key(item) for item in listed]
    members: dict[Hashable, list[Item]] = {}
    for item, value in zip(listed, keys, strict=True):
        members.setdefault(value, []).append(item)
    found: list[list[Item]] = []
    for item, value in zip(listed, keys, strict=True):
        group = members[value]
        if len(group) < LEAST:
            found.append([item])
        elif group[0] is item:
            found.append(group)
    return found
