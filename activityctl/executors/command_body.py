"""The fields of the `command` task, with the checks that need no process."""

import math
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import Manifest, is_written
from activityctl.domain.values.secret_ref import SecretText
from activityctl.domain.values.size import Size
from activityctl.domain.values.text import LITERAL_SCHEMA, FilledText, Text

_LAST_EXIT_CODE: Final = 255
_LAST_SIGNAL: Final = 64


def _names_program(words: list[str]) -> list[str]:
    if not words[0]:
        raise ValueError("the first word should be a program, not an empty text")
    return words


def _folder(path: str, info: ValidationInfo) -> str:
    if is_written(info) and not path.startswith(("/", ".")):
        raise ValueError("should be an absolute path: each attempt starts in an empty folder")
    return path


def _check_variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("is not a valid name of an environment variable")
    return name


def _exit_code(code: int, info: ValidationInfo) -> int:
    if is_written(info) and not -_LAST_SIGNAL <= code <= _LAST_EXIT_CODE:
        raise ValueError(f"is never an exit code; write 0 to {_LAST_EXIT_CODE}")
    return code


ExitCode = Annotated[
    int,
    AfterValidator(_exit_code),
    WithJsonSchema({"type": "integer", "minimum": -_LAST_SIGNAL, "maximum": _LAST_EXIT_CODE}),
]


class CommandLimits(Manifest):
    """What each process of the command may use."""

    cpu: LimitDuration | None = Field(
        default=None,
        description="CPU time, in whole seconds. Default: no limit.",
        examples=["30s"],
    )
    memory: Size | None = Field(
        default=None,
        description="Address space, which is more than the memory in use. Default: no limit.",
        examples=["1GiB"],
        ge=16 << 20,
    )
    open_files: int | None = Field(
        default=None,
        description="Files that are open at once. Default: as the worker.",
        examples=[64],
        ge=8,
        le=1_000_000,
    )
    file_size: Size | None = Field(
        default=None,
        description="The size of each file that it writes. Default: no limit.",
        examples=["100MiB"],
    )

    def of_processes(self) -> dict[str, int]:
        """Return the limits by their names in the module `resource`."""
        cpu = None if self.cpu is None else max(math.ceil(self.cpu.total_seconds()), 1)
        limits = {
            "RLIMIT_CPU": cpu,
            "RLIMIT_AS": self.memory,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_FSIZE": self.file_size,
        }
        return {name: value for name, value in limits.items() if value is not None}


class CommandBody(Manifest):
    """Runs a program. Of stdout and stderr, 64 KiB each are kept, without the middle.

    All of its processes end with the attempt.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("argv", "shell")
            ]
        }
    )

    argv: Annotated[list[Text], Field(min_length=1), AfterValidator(_names_program)] | None = Field(
        default=None,
        description="The program and its arguments. They are passed unchanged, without a shell.",
        examples=[["echo", "${ run.id }"]],
    )
    shell: Text | None = Field(
        default=None,
        description="A script, run with /bin/sh -c. Use env for values.",
        examples=["df -h | tail -n 1"],
    )
    env: dict[Annotated[str, AfterValidator(_check_variable)], SecretText] = Field(
        default={},
        description="Environment variables for the program, in addition to a small safe set. "
        "Pass values to scripts with them; a value may be {secretRef: NAME}.",
        examples=[{"REGION": "${ run.id }"}],
        json_schema_extra={"propertyNames": {"pattern": "^[^=]+$"}},
    )
    cwd: Annotated[FilledText, AfterValidator(_folder)] | None = Field(
        default=None,
        description="The working directory of the program. The default is a fresh folder that is "
        "removed after the attempt.",
        examples=["/srv/data"],
    )
    user: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The account to run the program as. Needs a worker that runs as root.",
        examples=["nobody"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    stdin: Text | None = Field(
        default=None,
        description="Text for the standard input of the program.",
        examples=["${ run.id }"],
    )
    parse: Literal["text", "json"] = Field(
        default="text",
        description="How to read standard output: as text or as JSON.",
        examples=["json"],
    )
    success_codes: list[ExitCode] = Field(
        default=[0],
        description="Exit codes that mean success, from 0 to 255. -15 means that the program was "
        "killed by signal 15.",
        min_length=1,
        examples=[[0, 1]],
    )

    limits: CommandLimits = Field(
        default=CommandLimits(),
        description="What each process of the command may use.",
        examples=[{"cpu": "30s", "memory": "1GiB"}],
    )

    @model_validator(mode="after")
    def _has_one_program(self) -> Self:
        if (self.argv is None) == (self.shell is None):
            raise ValueError("exactly one of argv and shell is required")
        return self
