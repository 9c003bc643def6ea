"""A key store of the tests, in memory, that can be locked, silent or forgetful."""

import time

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class TeamKeyring(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.chosen: KeyringBackend = self
        self.is_locked = self.is_forgetful = False
        self.seconds = 0.0

    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(self.seconds)
        if self.is_locked:
            raise KeyringLocked("locked")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise KeyringLocked("locked")
        if not self.is_forgetful:
            self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]
