"""Check: the result of one check of `doctor`."""

from typing import Literal

from activityctl.frozen_dataclass import frozen_dataclass

State = Literal["ok", "warning", "failed", "skipped"]


@frozen_dataclass
class Check:
    """The result of one check; `hint` is the next step for a warning or a failure."""

    name: str
    state: State
    found: str
    hint: str | None = None
