"""Frozen dataclasses with slots, made in a fifth of the time that `dataclasses` needs for them.

Every command imports hundreds of them. `dataclasses` compiles six functions from text for each,
which took a third of the time of all imports. Here only `__init__` is compiled; the other methods
are the same functions for all classes, or read the fields with one `attrgetter`.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeVar, dataclass_transform

_Made = TypeVar("_Made")
_NOT_GIVEN = object()


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen_dataclass(given: type[_Made]) -> type[_Made]:
    """Do what `dataclass(frozen=True, slots=True)` does.

    A method that the class has stays. `fields`, `replace` and `asdict` of `dataclasses` take the
    class and its values. `kw_only` and `InitVar` are not supported.
    """
    own = {name for name, value in vars(given).items() if value is not None}
    made = dataclass(init=False, repr=False, eq=False, slots=True)(given)
    methods = {**_SHARED, **_comparing(made), "__init__": _init_of(made)}
    for name in methods.keys() - own:
        setattr(made, name, methods[name])
    return made


def _comparing(made: type[Any]) -> dict[str, Callable[..., Any]]:
    """Return the methods that compare by the fields, for two values of one class."""
    names = [each.name for each in fields(made) if each.compare]
    values: Callable[[object], object] = attrgetter(*names) if names else lambda _: ()

    def __eq__(self: object, other: object) -> bool:  # noqa: N807  # it is a method
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    def __hash__(self: object) -> int:  # noqa: N807  # it is a method
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _init_of(made: type[Any]) -> Callable[..., None]:
    """Compile `__init__`, which fills the slots directly, because the class refuses to be set."""
    known: dict[str, Any] = {"NOT_GIVEN": _NOT_GIVEN}
    arguments, lines = ["self"], []
    for each in fields(made):
        name = each.name
        known[f"fill_{name}"] = getattr(made, name).__set__
        argument, value = name, name
        if each.default is not MISSING:
            known[f"default_{name}"] = each.default
            argument = f"{name}=default_{name}"
        elif each.default_factory is not MISSING:
            known[f"make_{name}"] = each.default_factory
            argument = f"{name}=NOT_GIVEN"
            value = f"make_{name}() if {name} is NOT_GIVEN else {name}"
        arguments.append(argument)
        lines.append(f"fill_{name}(self, {value})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n    ".join(lines or ["pass"])
    exec(f"def __init__({', '.join(arguments)}):\n    {body}", known)  # noqa: S102  # of names only
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _repr(self: Any) -> str:
    shown = [f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(_: object, name: str, __: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


_SHARED: Final[Mapping[str, Callable[..., Any]]] = {
    "__repr__": _repr,
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
"""The methods that are the same for every class; `pickle` and `copy` use those of the state."""
