"""LogFilter: which logs are meant, with the meaning of `eth_getLogs`, and one query for many."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.frozen_dataclass import frozen_dataclass

MOST_IN_QUERY: Final = 1_000
"""The most addresses, and the most topics at one place, that nodes take in a query."""


@frozen_dataclass
class LogFilter:
    """Conditions about a log; all texts are in lower case."""

    addresses: frozenset[str] = frozenset()
    """One of these wrote the log; empty for any."""
    topics: tuple[frozenset[str] | None, ...] = ()
    """For each place, the topics that a log may have there; None for any.

    A log needs at least as many topics as there are places, also where any will do.
    """

    def matches(self, log: ChainLog) -> bool:
        """Whether the log fulfils all conditions."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        places = zip(self.topics, log.topics, strict=False)
        return all(wanted is None or topic in wanted for wanted, topic in places)

    def query(self) -> dict[str, Any]:
        """Return the conditions as `eth_getLogs` takes them."""
        found: dict[str, Any] = {}
        if self.addresses:
            found["address"] = sorted(self.addresses)
        if self.topics:
            found["topics"] = [None if any_of is None else sorted(any_of) for any_of in self.topics]
        return found


def union_of(filters: Iterable[LogFilter]) -> LogFilter:
    """Return a filter that matches every log that one of these matches, and perhaps others."""
    found = list(filters)
    addresses = frozenset[str]()
    if all(each.addresses for each in found):
        addresses = addresses.union(*(each.addresses for each in found))
    places = min((len(each.topics) for each in found), default=0)
    topics = [_union_at(found, place) for place in range(places)]
    while topics and topics[-1] is None:
        topics.pop()
    return LogFilter(
        addresses if len(addresses) <= MOST_IN_QUERY else frozenset(),
        tuple(topics),
    )


def _union_at(filters: Sequence[LogFilter], place: int) -> frozenset[str] | None:
    wanted = [each.topics[place] for each in filters]
    known = [topics for topics in wanted if topics is not None]
    if len(known) < len(wanted):
        return None
    union = frozenset[str]().union(*known)
    return union if len(union) <= MOST_IN_QUERY else None


class LogMatcher:
    """Finds which of many filters match a log, without trying all of them."""

    def __init__(self, filters: Sequence[LogFilter]) -> None:
        self._filters = filters
        self._by_address: dict[str | None, list[int]] = {}
        for number, each in enumerate(filters):
            for wanted in each.addresses or (None,):
                self._by_address.setdefault(wanted, []).append(number)

    def matching(self, log: ChainLog) -> list[int]:
        """Return the numbers of the filters that match, in order."""
        named = self._by_address.get(log.address, ())
        numbers = (*named, *self._by_address.get(None, ()))
        return sorted(number for number in numbers if self._filters[number].matches(log))
