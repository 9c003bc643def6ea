"""The secrets that one attempt has asked for: gives them out, and masks them in what it wrote."""

from typing import Final

from activityctl.domain.values.masking import Mask
from activityctl.domain.values.secret_hosts import host_refusal
from activityctl.domain.values.secret_ref import SecretRef
from activityctl.errors import ActivityctlError, NotFoundError, TaskError, UnreachableError
from activityctl.ports import Destination, FoundSecret, SecretReader


class HeldSecrets:
    """Resolves secrets for one attempt or one context source, and remembers what to mask."""

    def __init__(self, reader: SecretReader) -> None:
        self._reader = reader
        self.mask = Mask()
        """Masks every value that was given out, also one that was changed meanwhile."""

    async def resolve(self, value: str | SecretRef, *, host: Destination) -> str:
        """Return the value for a call to the host; see `ports.ResolveSecret`."""
        if isinstance(value, str):
            return value
        found = await self._read(value)
        self.mask.add(found.value)
        destination = host(found.value) if callable(host) else host
        if (reason := host_refusal(value.secret_ref, found.hosts, destination)) is not None:
            raise TaskError(reason, code="secret_forbidden", retryable=False)
        return found.value

    def masked(self, error: TaskError) -> TaskError:
        """Return the error without the secrets in its message and in its output."""
        return error.with_message(self.mask.text(error.message), self.mask.json(error.output))

    async def _read(self, ref: SecretRef) -> FoundSecret:
        try:
            return await self._reader.read(ref.secret_ref)
        except NotFoundError as error:
            name = ref.secret_ref
            hint = error.hint or f"activityctl secrets set {name}"
            message = f"secret {name} is missing on this worker; set it there: {hint}"
            raise TaskError(message, code="secret_missing", retryable=False) from None
        except UnreachableError as error:
            raise _failure(error, "secret_unavailable", retryable=True) from None
        except ActivityctlError as error:
            raise _failure(error, "secret_unusable", retryable=False) from None


def _failure(error: ActivityctlError, code: str, *, retryable: bool) -> TaskError:
    hint = f"; {error.hint}" if error.hint else ""
    return TaskError(f"{error.message}{hint}", code=code, retryable=retryable)


class _NoSecrets:
    """A machine without secrets."""

    async def read(self, name: str) -> FoundSecret:
        """Raise NotFoundError."""
        raise NotFoundError("secret", name, hint=f"activityctl secrets set {name}")


NO_SECRETS: Final = _NoSecrets()
