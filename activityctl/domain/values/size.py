"""Size: reads and formats a number of bytes as it is written in YAML."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
}
_SHOWN: Final = ("GiB", "MiB", "KiB")
_PATTERN: Final = rf"^[0-9]{{1,9}}({'|'.join(_UNITS)})$"
_HOW: Final = "write 64KiB, 256MiB or 1GiB"
MAX_SIZE: Final = 1 << 40
"""One tebibyte; a larger one is taken for a typing error."""


def parse_size(text: str) -> int:
    """Return the bytes of a text such as `64KiB`, `256MiB` or `1GB`; raise ValueError otherwise."""
    match = re.fullmatch(_PATTERN, text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a size: {_HOW}")
    unit = match[1]
    size = int(text.removesuffix(unit)) * _UNITS[unit]
    if not 0 < size <= MAX_SIZE:
        raise ValueError(f"{text} is not between 1B and 1024GiB")
    return size


def format_size(size: int) -> str:
    """Return the text that `parse_size` reads back, in the largest unit without a fraction."""
    unit = next((unit for unit in _SHOWN if size and size % _UNITS[unit] == 0), "B")
    return f"{size // _UNITS[unit]}{unit}"


def _from_yaml(value: object) -> object:
    if isinstance(value, str):
        return parse_size(value)
    hint = f"write {value}B" if type(value) is int and value > 0 else _HOW
    raise ValueError(f"a size needs a unit: {hint}")


Size = Annotated[
    int,
    BeforeValidator(_from_yaml),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["256MiB"]}),
]
"""A field of a model: text in YAML, a number of bytes in code; its default is bytes too."""
