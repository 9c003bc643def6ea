"""Line: a log entry on its way to the clients of streams, whose JSON is made once for all."""

import json
from collections.abc import Mapping

from activityctl.domain.values.json_form import log_view
from activityctl.domain.values.log import Cursor, LogEntry


class Line:
    """An entry as a server-sent event; the id of the event is the entry's cursor."""

    __slots__ = ("_event", "_name", "_view", "cursor", "entry")

    def __init__(self, entry: LogEntry) -> None:
        self.entry = entry
        self.cursor: Cursor = entry.cursor
        self._view: str | None = None
        self._event = b""
        self._name: str | None = None

    @property
    def size(self) -> int:
        """About how many bytes of memory the line takes."""
        return len(self._json())

    def event(self, names: Mapping[str, str]) -> bytes:
        """Return the event; `names` are those of the subscriptions, by id."""
        name = names.get(self.entry.subscription_id)
        if not self._event or name != self._name:
            data = f'{self._json()[:-1]}, "subscription": {json.dumps(name)}}}'
            self._name = name
            self._event = f"id: {self.cursor}\nevent: log\ndata: {data}\n\n".encode()
        return self._event

    def _json(self) -> str:
        if self._view is None:
            self._view = json.dumps(log_view(self.entry))
        return self._view
