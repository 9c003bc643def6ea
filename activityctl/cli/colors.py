"""Whether a stream gets colors and other escape sequences."""

import os
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from activityctl.errors import UsageError

CHOICES: Final = ("auto", "always", "never")
_OPTION: Final = "--color"


def uses_escapes(stream: TextIO, choice: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether escape sequences may be written to the stream.

    `auto` writes them to a terminal, unless the variable NO_COLOR is set or TERM is `dumb`.
    """
    if choice != "auto":
        return choice == "always"
    is_wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return is_wanted and stream.isatty()


def check_choice(choice: str) -> str:
    """Return the choice; UsageError if it is none."""
    if choice not in CHOICES:
        raise UsageError(
            f"--color takes auto, always or never, not {choice!r}", hint="activityctl --help"
        )
    return choice


def choice_of(arguments: Sequence[str]) -> str:
    """Return the value of `--color` before the arguments are parsed; `auto` without a valid one."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        value = following if word == _OPTION else word.removeprefix(f"{_OPTION}=")
        if word.startswith(_OPTION) and value in CHOICES:
            return value
    return "auto"
