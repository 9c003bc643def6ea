"""What the log says of an attempt that was lost with its worker."""

from activityctl.domain.runs.run import address_of
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.ports import BegunAttempt


def told_loss(begun: BegunAttempt, worker: str) -> tuple[str, dict[str, JsonValue]]:
    """Return message and facts for the attempt that this one repeats on the worker."""
    task, since = begun.task, begun.lost_since
    message = (
        f"task {address_of(task)} attempt {task.attempts - 1} was lost: {begun.lost_worker} "
        f"was killed, or did not answer any more; attempt {task.attempts} starts on "
        f"{worker}, which does not count for retry.maxAttempts"
    )
    facts: dict[str, JsonValue] = {
        "lostAttempt": task.attempts - 1,
        "lostWorker": begun.lost_worker,
        "lostAttemptStartedAt": None if since is None else format_timestamp(since),
        "worker": worker,
    }
    return message, facts
