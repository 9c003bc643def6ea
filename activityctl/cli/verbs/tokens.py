"""The verbs of tokens, by Postgres or by the HTTP API."""

import secrets
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from activityctl.adapters.remote.client import ApiClient
from activityctl.adapters.remote.stores import listed, segment
from activityctl.cli.session import Session, now
from activityctl.domain.access.scope import Scope
from activityctl.domain.access.token import ID_BYTES, SECRET_BYTES, token_view
from activityctl.domain.values.duration import parse_duration
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.access.tokens import create_token, revoke_token
from activityctl.wiring import Ports, RemotePorts


class TokenVerbs(Protocol):
    """Operations on the tokens of the HTTP API."""

    async def create(self, name: str, scopes: Sequence[Scope], ttl: str | None) -> View:
        """Make a token; return its view, with its text in `token`."""
        ...

    async def all(self) -> list[View]:
        """Return every token, by name."""
        ...

    async def revoke(self, name: str) -> None:
        """Make a token invalid at once."""
        ...


def tokens_of(session: Session, ports: Ports) -> TokenVerbs:
    """Return the verbs by the API if that is what was opened, else by Postgres."""
    if isinstance(ports, RemotePorts):
        return RemoteTokens(ports.api)
    return LocalTokens(session, ports)


@frozen_dataclass
class LocalTokens:
    """Carries out each verb here."""

    session: Session
    ports: Ports

    async def create(self, name: str, scopes: Sequence[Scope], ttl: str | None) -> View:
        """Make a token; return its view, with its text in `token`."""
        made = (
            secrets.token_hex(ID_BYTES),
            secrets.token_urlsafe(SECRET_BYTES),
            str(uuid.uuid4()),
        )
        actor = self.session.origin.actor
        span = None if ttl is None else parse_duration(ttl)
        ports, moment = self.ports, now()
        token, text = await create_token(
            ports.tokens, ports.audit, name, scopes, made, ttl=span, now=moment, actor=actor
        )
        return {**token_view(token, moment), "token": text}

    async def all(self) -> list[View]:
        """Return every token, by name."""
        return [token_view(token, now()) for token in await self.ports.tokens.all()]

    async def revoke(self, name: str) -> None:
        """Make a token invalid at once."""
        ports, actor = self.ports, self.session.origin.actor
        await revoke_token(
            ports.tokens, ports.audit, name, entry_id=str(uuid.uuid4()), now=now(), actor=actor
        )


@frozen_dataclass
class RemoteTokens:
    """Sends each verb to the API, which makes and keeps the tokens."""

    api: ApiClient

    async def create(self, name: str, scopes: Sequence[Scope], ttl: str | None) -> View:
        """Make a token; return its view, with its text in `token`."""
        body: dict[str, Any] = {"name": name, "scopes": [str(each) for each in scopes]}
        view: View = await self.api.post("/v1/tokens", {**body, "ttl": ttl})
        return view

    async def all(self) -> list[View]:
        """Return every token, by name."""
        views, _ = await listed(self.api, "tokens", {}, None)
        return views

    async def revoke(self, name: str) -> None:
        """Make a token invalid at once."""
        await self.api.post(f"/v1/tokens/{segment(name)}/revoke", is_harmless=True)
