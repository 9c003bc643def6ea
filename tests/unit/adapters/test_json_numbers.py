"""Numbers keep their kind in jsonb, which has no exponents."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.adapters.postgres.json_numbers import parse_integer, with_fractions


def through_jsonb(value: Any) -> Any:
    """Return the value as Postgres returns it: numbers in digits, zeros after the point kept."""

    numbers: list[str] = []

    def keep(text: str) -> str:
        numbers.append(f"{Decimal(text):f}")
        return f"\0{len(numbers) - 1}\0"

    stored = json.dumps(json.loads(with_fractions(json.dumps(value)), parse_float=keep))
    for index, number in enumerate(numbers):
        stored = stored.replace(f'"\\u0000{index}\\u0000"', number)
    return json.loads(stored, parse_int=parse_integer)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS | st.integers(-(2**63), 2**64 - 1) | TEXTS | st.just('1e+16 "\\ 1e+16')))
def test_numbers_and_texts_come_back(value: list[Any]):
    back = through_jsonb(value)
    assert back == value
    assert list(map(type, back)) == list(map(type, value))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 123456789012345678901, 10**400 + 1])
def test_an_integer_of_more_than_64_bits_keeps_its_digits(number: int):
    assert parse_integer(str(number)) == number
    assert isinstance(parse_integer(str(number)), int)


def test_a_float_that_an_earlier_version_wrote_without_a_fraction_is_a_float():
    assert parse_integer("1" + "0" * 300) == 1e300
    assert isinstance(parse_integer("1" + "0" * 300), float)
