"""How many connections there may be at once, and which goes when there are too many."""

from typing import Protocol


class Closable(Protocol):
    """A connection as far as it is counted."""

    def abort(self) -> None:
        """Cut the connection now."""


class Places:
    """The connections of one server, of which there are `most` at once.

    If there are more, those go first that have been without a request longest; a connection whose
    TLS handshake has not ended is one of these.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: set[Closable] = set()
        self._waiting: dict[Closable, None] = {}
        self._handshakes: set[Closable] = set()

    def take(self, connection: Closable) -> bool:
        """Count a connection, in place of a waiting one; return False if there is none."""
        self._all.add(connection)
        if len(self._all) <= self._most:
            return True
        for oldest in self._waiting:
            oldest.abort()
            self.leave(oldest)
            return True
        return False

    def leave(self, connection: Closable) -> None:
        """Forget a connection that has ended."""
        self._all.discard(connection)
        self._handshakes.discard(connection)
        self._waiting.pop(connection, None)

    def set_waiting(self, connection: Closable, *, waits: bool) -> None:
        """Say whether no request is at work on the connection; the order is that of the waits."""
        if not waits:
            self._waiting.pop(connection, None)
        elif connection in self._all:
            self._waiting.setdefault(connection)

    def add_handshake(self, connection: Closable) -> bool:
        """Count a connection whose handshake begins, as `take` does."""
        if not self.take(connection):
            return False
        self._handshakes.add(connection)
        self.set_waiting(connection, waits=True)
        return True

    def abort_handshakes(self) -> None:
        """Cut the connections whose handshake has not ended."""
        for connection in tuple(self._handshakes):
            connection.abort()
