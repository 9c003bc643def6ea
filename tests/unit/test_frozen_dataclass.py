"""What `frozen_dataclass` makes behaves as what `dataclass(frozen=True, slots=True)` makes."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import (
    FrozenInstanceError,
    asdict,
    astuple,
    dataclass,
    field,
    fields,
    is_dataclass,
    replace,
)
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.frozen_dataclass import frozen_dataclass

_T = TypeVar("_T")
Maker = Callable[[type[Any]], Any]
STANDARD: Maker = dataclass(frozen=True, slots=True)
BOTH = pytest.mark.parametrize("make", [STANDARD, frozen_dataclass])


def place_with(make: Maker) -> type[Any]:
    class Place:
        """A place."""

        name: str
        secret: str = field(repr=False)
        tags: list[str] = field(default_factory=list)
        note: str = field(default="", compare=False)
        size: int | None = None

        def __post_init__(self) -> None:
            if self.size == 13:
                raise ValueError("no place has this size")

        @property
        def title(self) -> str:
            return self.name.title()

    return make(Place)


@frozen_dataclass
class Kept:
    """A class that pickle finds."""

    name: str
    size: int = 0


@frozen_dataclass
class Boxed(Generic[_T]):
    """A class of something."""

    content: _T


@frozen_dataclass
class Longer(Kept):
    """A class with the fields of another."""

    length: int = 1


ARGUMENTS = st.tuples(
    st.text(max_size=2), st.text(max_size=2), st.lists(st.text(max_size=1), max_size=1),
    st.text(max_size=1), st.integers(0, 2),
)  # fmt: skip


@given(ARGUMENTS, ARGUMENTS)
def test_equality_repr_and_fields_are_those_of_a_standard_class(one: Any, other: Any):
    standard, quick = place_with(STANDARD), place_with(frozen_dataclass)

    assert (quick(*one) == quick(*other)) == (standard(*one) == standard(*other))
    assert repr(quick(*one)) == repr(standard(*one))
    assert asdict(quick(*one)) == asdict(standard(*one))
    assert astuple(quick(*one)) == astuple(standard(*one))
    assert quick.__match_args__ == standard.__match_args__
    assert quick.__slots__ == standard.__slots__
    assert [each.name for each in fields(quick)] == [each.name for each in fields(standard)]


@pytest.mark.parametrize("name", ["name", "other"])
def test_nothing_can_be_set_or_deleted(name: str):
    place = place_with(frozen_dataclass)("here", "x")

    with pytest.raises(FrozenInstanceError, match="cannot assign to field"):
        setattr(place, name, "there")
    with pytest.raises(FrozenInstanceError, match="cannot delete field"):
        delattr(place, name)
    assert place.name == "here"


@BOTH
def test_defaults_are_new_for_each_value_and_replace_keeps_the_rest(make: Maker):
    place_class = place_with(make)
    one, other = place_class("here", "x"), place_class(name="here", secret="x")

    assert one == other
    assert one.tags is not other.tags
    assert replace(one, size=3) == place_class("here", "x", size=3)
    assert one.title == "Here"
    assert one != Kept("here")
    with pytest.raises(ValueError, match="no place has this size"):
        replace(one, size=13)


@BOTH
@pytest.mark.parametrize("words", [(), ("a",), ("a", "b", [], "", 1, 2)])
def test_a_missing_or_surplus_argument_is_an_error(make: Maker, words: tuple[Any, ...]):
    with pytest.raises(TypeError, match="__init__"):
        place_with(make)(*words)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        place_with(make)("a", "b", colour="red")


def test_equal_values_have_equal_hashes_and_are_found_in_a_set():
    assert {Kept("a"), Kept("a", 0), Kept("b")} == {Kept("b"), Kept("a")}
    assert Kept("a") != Longer("a")


def test_it_can_be_pickled_and_copied():
    for value in (Kept("a", 2), Longer("a", 2, 3), Boxed(Kept("b"))):
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.deepcopy(value) == copy.copy(value) == value
        assert is_dataclass(value)


def test_a_method_that_the_class_has_stays():
    @frozen_dataclass
    class Secret:
        """A text that is not shown."""

        value: str

        def __repr__(self) -> str:
            return "***"

        def __hash__(self) -> int:
            return 7

    assert repr(Secret("x")) == "***"
    assert hash(Secret("x")) == 7


def test_a_class_without_fields_has_equal_values():
    @frozen_dataclass
    class Nothing:
        """Has no fields."""

    assert Nothing() == Nothing()
    assert repr(Nothing()).endswith("Nothing()")
