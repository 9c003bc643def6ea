"""Substrings: finds which of many texts occur in a text, without trying all of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

_GRAM: Final = 3
"""Characters by which a text is looked up."""

Value = TypeVar("Value")


class Substrings(Generic[Value]):
    """Values by texts that are not empty.

    Each text is kept under the three characters in it that the fewest other texts have. So only
    the texts are compared that share these with the searched text.
    """

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._all = list(values.items())
        counts = Counter(gram for text in values for gram in _grams(text, min(_GRAM, len(text))))
        self._by_gram: dict[str, list[tuple[str, Value]]] = {}
        for text, value in self._all:
            own = sorted(_grams(text, min(_GRAM, len(text))))
            rarest = min(own, key=counts.__getitem__)
            self._by_gram.setdefault(rarest, []).append((text, value))
        self._lengths = sorted({len(gram) for gram in self._by_gram})

    def inside(self, searched: str) -> Iterator[Value]:
        """Yield the values of the texts that occur in a text."""
        if len(searched) * len(self._lengths) > len(self._all):  # to compare all is less work
            return (value for text, value in self._all if text in searched)
        return self._looked_up(searched)

    def _looked_up(self, searched: str) -> Iterator[Value]:
        for length in self._lengths:
            for gram in self._by_gram.keys() & _grams(searched, length):
                for text, value in self._by_gram[gram]:
                    if text in searched:
                        yield value


def _grams(text: str, length: int) -> set[str]:
    return {text[start : start + length] for start in range(len(text) - length + 1)}
