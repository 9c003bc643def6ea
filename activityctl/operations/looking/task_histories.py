"""Read the attempts of tasks, and what holds them up."""

from collections.abc import Sequence

from activityctl.domain.tasks.attempt import attempt_view
from activityctl.domain.tasks.held_task import held_view
from activityctl.domain.values.json_form import View
from activityctl.ports import RunLists


async def task_histories(lists: RunLists, task_ids: Sequence[str]) -> dict[str, View]:
    """Return the attempts of these tasks and what holds them up, by task id."""
    attempts: dict[str, list[View]] = {}
    for each in await lists.attempts(task_ids) if task_ids else []:
        attempts.setdefault(each.task_id, []).append(attempt_view(each))
    held = {each.task_id: held_view(each) for each in await lists.held(task_ids)}
    return {
        key: {
            "history": attempts.get(key, []),
            **({"held": held[key]} if key in held else {}),
        }
        for key in task_ids
    }
