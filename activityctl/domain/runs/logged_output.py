"""The output of an attempt as the log keeps it: without the middle of long texts."""

from typing import Final

from activityctl.domain.values.model import JsonValue

_LOGGED_CHARACTERS: Final = 8_000
"""How much of each text of an output a log entry keeps."""


def logged_output(output: JsonValue) -> JsonValue:
    """Return the output with the middle of long texts left out."""
    if not isinstance(output, dict):
        return output
    return {key: _without_middle(value) for key, value in output.items()}


def _without_middle(value: JsonValue) -> JsonValue:
    if not isinstance(value, str) or len(value) <= _LOGGED_CHARACTERS:
        return value
    half = _LOGGED_CHARACTERS // 2
    left_out = len(value) - 2 * half
    return f"{value[:half]}\n[... {left_out} characters left out ...]\n{value[-half:]}"
