"""How counts are worded, in one place: `1 run has`, `2,000 runs have`."""


def count_noun(count: int, one: str, many: str | None = None) -> str:
    """Return the count with its noun, and what follows that; the plural of `one` takes an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
