"""The announcer: emits the reminders of tasks that wait for a person, and that they are overdue."""

from typing import Final

from activityctl.domain.runs.announcements import event_of, following_announcement
from activityctl.ports import EventStore, Waits

_AT_ONCE: Final = 100


class Announcer:
    """Emits what is due. An announcement that is repeated after a crash is stored once."""

    def __init__(self, waits: Waits, events: EventStore) -> None:
        self._waits = waits
        self._events = events

    async def announce(self) -> float | None:
        """Emit what is due; return the seconds until the next announcement, None without one."""
        due = await self._waits.announcements(_AT_ONCE)
        for announcement in due:
            event = event_of(announcement)
            if event is not None:
                await self._events.add([event])
            following = following_announcement(announcement)
            await self._waits.announced(announcement.task.id, following)
        return 0.0 if len(due) == _AT_ONCE else await self._waits.seconds_to_announcement()
