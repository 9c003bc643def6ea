"""Check: the result of one check of `doctor`."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `hint` is the next step for a warning or a failure."""

    name: str
    state: State
    found: str
    hint: str | None = None
