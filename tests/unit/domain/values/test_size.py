"""Sizes are written with a unit."""

import pytest

from activityctl.domain.values.size import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("1MiB", 1 << 20), ("1MB", 1_000_000), ("2GiB", 2 << 30), ("5B", 5)],
)
def test_a_size_is_read_and_written_again(text: str, size: int):
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["", "64", "0MiB", "-1MiB", "1.5MiB", "1TiB", "9999999GiB", "x"])
def test_other_texts_are_refused(text: str):
    with pytest.raises(ValueError, match=r"size|between"):
        parse_size(text)
