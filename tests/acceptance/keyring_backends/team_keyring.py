"""A key store for tests, chosen with PYTHON_KEYRING_BACKEND: it keeps its entries in a file."""

import json
import os
import time
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class TeamKeyring(KeyringBackend):
    priority = 1

    @property
    def path(self) -> Path:
        return Path(os.environ["TEAM_KEYRING_FILE"])

    def entries(self) -> dict[str, str]:
        return json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        entries = {**self.entries(), f"{service}/{username}": password}
        self.path.write_text(json.dumps(entries), "utf-8")

    def delete_password(self, service: str, username: str) -> None:
        entries = self.entries()
        del entries[f"{service}/{username}"]
        self.path.write_text(json.dumps(entries), "utf-8")


class LockedKeyring(TeamKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked(f"no to {service} {username}")


class SilentKeyring(TeamKeyring):
    def get_password(self, service: str, username: str) -> str | None:
        time.sleep(60)
        return super().get_password(service, username)
