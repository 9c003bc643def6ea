"""Chains: how one call of a step carries out tasks of a run that follow one another.

When the end of a task lets exactly one other begin, the call begins that one at once. A word to
Temporal and back would take longer than many tasks do. A task that a call has taken names the call
in its lane, by the id of the task with which it began, so that a repeated call finds it.
"""

from datetime import timedelta
from typing import Final

TASKS_PER_CALL: Final = 20
"""After so many tasks the workflow is asked again, so that its history shows the progress."""
TIME_PER_CALL: Final = timedelta(seconds=5)
"""A call that has lasted longer takes no other task; others may wait for its place."""
