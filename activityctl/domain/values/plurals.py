"""Words a count in singular or plural: `1 run has`, `2,000 runs have`."""


def count_noun(count: int, singular: str, plural: str | None = None) -> str:
    """Return the count and the noun in singular or plural; the default plural adds an s."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"
