"""Where the values of secrets and keys lie: the system's key store, or the encrypted file."""

from activityctl.adapters.keystore import system_keyring
from activityctl.adapters.keystore.encrypted_file import EncryptedFile
from activityctl.domain.values.known_secret import SecretStore
from activityctl.errors import UnreachableError


class KeptValues:
    """Texts by name, in one service of the key store and one encrypted file.

    The caller holds the lock of the folder when it writes.
    """

    def __init__(self, service: str, file: EncryptedFile) -> None:
        self._service = service
        self._file = file

    async def read(self, name: str, store: SecretStore) -> str | None:
        """Return the text; None if it is gone. Raises an error if the store does not answer."""
        if store is SecretStore.KEYRING:
            return await system_keyring.read_entry(self._service, name)
        return self._file.entries().get(name)

    async def write(self, name: str, text: str, store: str) -> tuple[SecretStore, str]:
        """Keep the text and read it back; return the store and its place.

        `store` is `keyring`, `file`, or `auto`: the key store if this system has one.
        """
        chosen, place = await self.chosen(store)
        if chosen is SecretStore.KEYRING:
            return chosen, await system_keyring.write_entry(self._service, name, text)
        self._file.replace({**self._file.entries(), name: text})
        if self._file.entries().get(name) != text:
            raise UnreachableError(f"{self._file.path} has not kept what was written")
        return chosen, place

    async def remove(self, name: str, store: SecretStore) -> None:
        """Forget the text; do nothing if there is none."""
        if store is SecretStore.KEYRING:
            await system_keyring.remove_entry(self._service, name)
        elif store is SecretStore.FILE:
            self._file.replace({k: v for k, v in self._file.entries().items() if k != name})

    async def chosen(self, store: str) -> tuple[SecretStore, str]:
        """Return where a new text is kept."""
        if store != SecretStore.FILE:
            try:
                return SecretStore.KEYRING, await system_keyring.store_name()
            except UnreachableError as error:
                if store == SecretStore.KEYRING or not system_keyring.is_absent(error):
                    raise
        return SecretStore.FILE, str(self._file.path)

    def require_readable(self) -> None:
        """Raise an error if the encrypted file cannot be read."""
        self._file.entries()
