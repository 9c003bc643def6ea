"""Digests of typed structured data (EIP-712), read strictly.

A value must have exactly the fields of its type, and each the exact type: the text "true" is no
bool, and a number with a fraction is no integer.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NewType

from activityctl.domain.chain.hexadecimal import checksum_address, hex_bytes, keccak

Fields = Sequence[tuple[str, str]]
"""Name and type of each field, in their order."""
Digest = NewType("Digest", bytes)
"""The 32 bytes that are signed."""

_DOMAIN: Final = "EIP712Domain"
_DOMAIN_FIELDS: Final[Fields] = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)
_ARRAY: Final = re.compile(r"(?P<of>.+)\[(?P<size>[0-9]*)\]")
_NUMBER: Final = re.compile("(?P<kind>u?int)(?P<bits>[0-9]+)")
_FIXED: Final = re.compile("bytes(?P<size>[0-9]+)")
_WORD: Final = 32
_DEEPEST: Final = 32


def typed_data_digest(
    domain: Mapping[str, Any],
    types: Mapping[str, Fields],
    primary: str,
    message: Mapping[str, Any],
) -> Digest:
    """Return the digest of a message in its domain.

    ValueError with the path of the field that does not have its type.
    """
    fields = [(name, kind) for name, kind in _DOMAIN_FIELDS if name in domain]
    separator = _struct_hash(_DOMAIN, {_DOMAIN: fields}, domain, "domain", 0)
    return Digest(
        keccak(b"\x19\x01" + separator + _struct_hash(primary, types, message, "message", 0))
    )


def _struct_hash(
    name: str, types: Mapping[str, Fields], value: Any, path: str, depth: int
) -> bytes:
    if depth > _DEEPEST:
        raise _wrong(path, "is nested too deeply")
    if not isinstance(value, Mapping):
        raise _wrong(path, "should be an object")
    fields = types[name]
    wanted = {field for field, _ in fields}
    if missing := wanted - value.keys():
        raise ValueError(f"{path}.{min(missing)} is missing")
    if unknown := value.keys() - wanted:
        raise ValueError(f"{path}.{min(map(str, unknown))[:80]} is not a field of {name}")
    words = [
        _word(kind, types, value[field], f"{path}.{field}", depth + 1) for field, kind in fields
    ]
    return keccak(keccak(_type_text(name, types).encode()) + b"".join(words))


def _type_text(name: str, types: Mapping[str, Fields]) -> str:
    """Return the type and those that it uses, in the order of their names, as EIP-712 wants."""
    used: set[str] = set()
    open_names = [name]
    while open_names:
        current = open_names.pop()
        if current in types and current not in used:
            used.add(current)
            open_names += [_base(kind) for _, kind in types[current]]
    ordered = [name, *sorted(used - {name})]
    return "".join(
        f"{each}({','.join(f'{kind} {field}' for field, kind in types[each])})" for each in ordered
    )


def _base(kind: str) -> str:
    return kind.partition("[")[0]


def _word(kind: str, types: Mapping[str, Fields], value: Any, path: str, depth: int) -> bytes:
    """Return the 32 bytes that stand for a value."""
    if (array := _ARRAY.fullmatch(kind)) is not None:
        return _array_word(array, types, value, path, depth)
    if kind in types:
        return _struct_hash(kind, types, value, path, depth)
    if (number := _NUMBER.fullmatch(kind)) is not None:
        return _number_word(number, value, path)
    if (fixed := _FIXED.fullmatch(kind)) is not None:
        content = _bytes(value, path)
        if len(content) != int(fixed["size"]) or not 1 <= len(content) <= _WORD:
            raise _wrong(path, f"should have {fixed['size']} bytes, not {len(content)}")
        return content.ljust(_WORD, b"\0")
    return _plain_word(kind, value, path)


def _plain_word(kind: str, value: Any, path: str) -> bytes:
    match kind:
        case "string":
            return keccak(_text(value, path).encode())
        case "bytes":
            return keccak(_bytes(value, path))
        case "bool" if isinstance(value, bool):
            return int(value).to_bytes(_WORD)
        case "bool":
            raise _wrong(path, "should be true or false")
        case "address":
            try:
                address = checksum_address(_text(value, path))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            return hex_bytes(address).rjust(_WORD, b"\0")
    raise _wrong(path, f"has the unknown type {kind[:80]}")


def _array_word(
    array: re.Match[str], types: Mapping[str, Fields], value: Any, path: str, depth: int
) -> bytes:
    if depth > _DEEPEST or not isinstance(value, list | tuple):
        raise ValueError(f"{path} should be a list")
    if array["size"] and len(value) != int(array["size"]):
        raise ValueError(f"{path} should have {array['size']} items, not {len(value)}")
    items = enumerate(value)
    words = [_word(array["of"], types, item, f"{path}[{at}]", depth + 1) for at, item in items]
    return keccak(b"".join(words))


def _number_word(kind: re.Match[str], value: Any, path: str) -> bytes:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(path, "should be an integer")
    is_signed, bits = kind["kind"] == "int", int(kind["bits"])
    lowest, end = (-(1 << bits - 1), 1 << bits - 1) if is_signed else (0, 1 << bits)
    if not lowest <= value < end:
        raise ValueError(f"{path} is out of the range of {kind[0]}")
    return value.to_bytes(_WORD, signed=is_signed)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong(path, "should be a text")
    return value


def _bytes(value: Any, path: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return hex_bytes(_text(value, path))
    except ValueError as error:
        reason = str(error).removeprefix(f"{path} ")
        raise ValueError(f"{path} {reason}") from None


def _wrong(path: str, reason: str) -> ValueError:
    return ValueError(f"{path} {reason}")
