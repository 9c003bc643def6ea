"""Where a page of a list begins: what comes after given values in the order of the list."""

from activityctl.domain.values.selection import Selection


def after(selection: Selection, *order: str) -> str:
    """Return the condition of the rows that come after the selection's place.

    `order` is that of ORDER BY: columns, `DESC` after those that fall. `place_of` has the values.
    """
    if not selection.after:
        return "true"
    columns = [(part.removesuffix(" DESC"), part.endswith(" DESC")) for part in order]
    first, falls = columns[0]
    ways = []
    for index, (column, is_falling) in enumerate(columns):
        same = [f"{each} = %(after{place})s" for place, (each, _) in enumerate(columns[:index])]
        later = f"{column} {'<' if is_falling else '>'} %(after{index})s"
        ways.append(" AND ".join([*same, later]))
    # The first part lets an index of the first column find the place.
    return f"{first} {'<=' if falls else '>='} %(after0)s AND (({') OR ('.join(ways)}))"


def place_of(selection: Selection) -> dict[str, object]:
    """Return the values of the condition."""
    return {f"after{index}": value for index, value in enumerate(selection.after)}
