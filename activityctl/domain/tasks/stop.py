"""The task kind `stop`: ends the run early, with the status and the reason that it says."""

from typing import Final, Literal

from pydantic import Field

from activityctl.domain.values.model import Manifest
from activityctl.domain.values.text import Text

STOP: Final = "stop"


class StopBody(Manifest):
    """How the run ends. What is at work is stopped first; what has not begun is cancelled."""

    status: Literal["succeeded", "failed", "skipped"] = Field(
        default="succeeded",
        description="The status that the run ends with. Default: succeeded.",
        examples=["skipped"],
    )
    reason: Text | None = Field(
        default=None,
        description="Why the run ends here; shown with the run. Default: none.",
        examples=["there is nothing to do"],
    )
