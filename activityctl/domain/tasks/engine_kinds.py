"""The task kinds that the engine itself carries out. They need no executor and no worker's slot."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pydantic import BaseModel

from activityctl.domain.tasks.activity import ACTIVITY, ActivityBody
from activityctl.domain.tasks.manual import MANUAL, ManualBody
from activityctl.domain.tasks.stop import STOP, StopBody
from activityctl.domain.tasks.value import VALUE, ValueBody
from activityctl.domain.tasks.wait import WAIT, WaitBody
from activityctl.domain.tasks.wait_for import WAIT_FOR, WaitForBody

ENGINE_KINDS: Final[Mapping[str, type[BaseModel]]] = {
    VALUE: ValueBody,
    WAIT: WaitBody,
    MANUAL: ManualBody,
    WAIT_FOR: WaitForBody,
    ACTIVITY: ActivityBody,
    STOP: StopBody,
}
"""Each kind with the model of its body; none of them reaches the step `execute`."""
WAITING_KINDS: Final = frozenset({WAIT, MANUAL, WAIT_FOR, ACTIVITY})
"""The kinds whose tasks have the status `waiting` from their start to their end."""


def longest_wait(body: BaseModel) -> tuple[str, timedelta] | None:
    """Return the field that says how long a task waits at most, with its value; None without."""
    match body:
        case WaitBody(for_=timedelta() as wait):
            return "for", wait
        case ManualBody(due=timedelta() as wait):
            return "due", wait
        case WaitForBody(timeout=timedelta() as wait) | ActivityBody(timeout=timedelta() as wait):
            return "timeout", wait
        case _:
            return None
