"""What a process passes on to those that it starts and other processes of its account can change.

On Linux; on other systems nothing of it is read.
"""

import os
import sys
from collections.abc import Hashable
from typing import Final

_FILES: Final = ("limits", "oom_score_adj", "cgroup")


def inherited_from(pid: int) -> Hashable:
    """Return limits, out-of-memory score, control groups, priority and processors of a process.

    None if there is no such process.
    """
    if sys.platform != "linux":
        return ()
    try:
        texts = []
        for name in _FILES:
            with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123  # for each command
                texts.append(file.read())
        priority = os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid)
        return (*texts, *priority, frozenset(os.sched_getaffinity(pid)))
    except OSError:
        return None
