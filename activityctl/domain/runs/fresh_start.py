"""Fresh start: when a workflow whose code cannot go on is replaced by a new one.

Its history does not fit the code of the workers: the code is another version, or Temporal lost its
last seconds while a worker remembered them. Postgres knows how far its runs are.
"""

from datetime import datetime, timedelta
from typing import Final

AFTER: Final = timedelta(minutes=2)
"""So long, a worker of the version that began the runs may still come, as in an upgrade."""
AT_LATEST: Final = timedelta(hours=1)
_SHARE: Final = 4


def is_patience_over(since: datetime, began_at: datetime, now: datetime) -> bool:
    """Return whether something is done about a workflow that does not go on since then.

    One that is stuck is replaced. A quarter of the age of its runs has to pass, so that a new
    workflow that gets stuck as well is replaced less and less often.
    """
    patience = min(max((now - began_at) / _SHARE, AFTER), AT_LATEST)
    return now - since >= patience
