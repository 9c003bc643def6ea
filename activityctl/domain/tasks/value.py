"""ValueBody: the body of the task kind `value`, which computes a value and names it."""

from typing import Final

from pydantic import ConfigDict, RootModel

from activityctl.domain.values.model import JsonValue

VALUE: Final = "value"
"""The key of the kind in YAML."""


class ValueBody(RootModel[JsonValue]):
    """Computes a value that later tasks read as `tasks.<name>.output`; it does nothing else."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "description": "A value of any type: text, number, list or map. Templates in it are "
            "evaluated when the task starts. Later tasks read it as `tasks.<name>.output`.",
            "examples": [{"total": "${ event.data.amount * 2 }"}],
        },
    )
