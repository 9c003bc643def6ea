"""The `email` task: sends one message by SMTP with TLS; `destination` guards the address."""

import asyncio
import binascii
import json
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from activityctl.domain.values.destination import DestinationPolicy, Network
from activityctl.domain.values.secret_hosts import connection_host
from activityctl.domain.values.untrusted import printable
from activityctl.errors import DestinationForbiddenError, TaskError, reason_of
from activityctl.executors.email_body import Attachment, EmailBody, read_address
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

if TYPE_CHECKING:
    import ssl

    from activityctl.executors.destination import Listening

MAX_MESSAGE_BYTES: Final = 20 << 20
_PORTS: Final = {"smtps": 465, "smtp": 587}
_FIRST_FINAL_CODE: Final = 500
_SHOWN: Final = 300
_HOW: Final = "write smtps://USER:PASSWORD@HOST, or smtp://USER:PASSWORD@HOST for STARTTLS"


@frozen_dataclass
class _Server:
    """An SMTP server, read from the URL of a connection."""

    host: str
    port: int
    is_tls: bool
    """TLS from the start; else STARTTLS."""
    is_plain: bool
    """No TLS at all."""
    user: str | None
    password: str | None


class EmailExecutor:
    """Sends one message for each attempt, over a connection of its own.

    All attempts have the same Message-ID, by which mail programs know a message that was sent
    twice. Output: `messageId`, `accepted`, `refused` (each with `address`, `code`, `message`),
    `bytes`, `durationMs`. The task fails if no recipient is accepted.
    """

    kind: ClassVar[str] = "email"
    body: ClassVar[type[BaseModel]] = EmailBody

    def __init__(
        self,
        *,
        allow_plain: bool,
        allowed_networks: Sequence[Network],
        own_ports: Collection[int] = (),
        listening: "Listening | None" = None,
        tls: "Callable[[], ssl.SSLContext] | None" = None,
    ) -> None:
        """`allow_plain` allows connections without TLS, as `allow_http` does."""
        self._allow_plain = allow_plain
        self._policy = DestinationPolicy(allow_plain, tuple(allowed_networks), frozenset(own_ports))
        self._listening = listening
        self._tls = tls

    async def execute(self, body: EmailBody, call: TaskCall) -> ExecutorOutcome:
        """Send the message. Raises TaskError if nobody gets it."""
        started = time.monotonic()
        server = _read_url(await call.secret(body.connection, host=connection_host))
        if server.is_plain and not self._allow_plain:
            raise _final(
                "a connection without TLS is not allowed; remove tls=none, or set "
                "ACTIVITYCTL_ALLOW_HTTP=true for the worker",
                code="destination_forbidden",
            )
        message = message_of(body, call.idempotency_key)
        recipients = list(dict.fromkeys(map(_spec, (*body.to, *body.cc, *body.bcc))))
        label = f"{server.host} port {server.port}"
        try:
            async with (
                asyncio.timeout(call.timeout_seconds),
                call.outgoing(f"SMTP {server.host}:{server.port}"),
            ):
                refused = await self._send(server, message, _spec(body.sender), recipients)
        except TimeoutError:
            text = f"{label}: the message was not accepted within {call.timeout_seconds:g} s"
            raise TaskError(text, code="timeout") from None
        accepted = [address for address in recipients if address not in refused]
        output: dict[str, JsonValue] = {
            "messageId": message["Message-ID"],
            "accepted": accepted,
            "refused": [_refusal(address, *refused[address]) for address in refused],
            "bytes": len(message.as_bytes(policy=SMTP)),
            "durationMs": round((time.monotonic() - started) * 1000),
        }
        if refused:
            await _tell_refusals(label, refused, accepted, output, call)
        return ExecutorOutcome(output)

    async def close(self) -> None:
        """Do nothing: each attempt closes its connection."""

    async def _send(
        self, server: _Server, message: EmailMessage, sender: str, recipients: list[str]
    ) -> Mapping[str, tuple[int, str]]:
        """Send to all recipients; return those that the server refused."""
        import aiosmtplib

        label = f"{server.host} port {server.port}"
        sock = await self._connected(server)
        context = self._context()
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=None,
            sock=sock,
            use_tls=server.is_tls,
            start_tls=False,
            tls_context=context,
            local_hostname="activityctl",
        )
        try:
            await client.connect()
            if not server.is_tls and not server.is_plain:
                await client.ehlo()
                if not client.supports_extension("starttls"):
                    raise _final(f"{label}: the server does not offer STARTTLS", code="tls_error")
                await client.starttls(server_hostname=server.host, tls_context=context)
            if server.user is not None:
                await client.login(server.user, server.password or "")
            refused, _ = await client.send_message(message, sender=sender, recipients=recipients)
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
        except aiosmtplib.SMTPRecipientsRefused as error:
            return {item.recipient: (item.code, item.message) for item in error.recipients}
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _explained(label, error) from error
        finally:
            if client.transport is None:
                sock.close()
            client.close()
        return {address: (reply.code, reply.message) for address, reply in refused.items()}

    async def _connected(self, server: _Server) -> socket.socket:
        """Connect to a permitted address of the host."""
        import httpcore

        from activityctl.executors.destination import GuardedBackend

        label = f"{server.host} port {server.port}"
        backend = GuardedBackend(self._policy, None, self._listening)
        try:
            addresses = await backend.permitted(server.host, server.port)
        except DestinationForbiddenError as error:
            raise _final(
                f"{label}: {error.message}" + (f"; {error.hint}" if error.hint else ""),
                code="destination_forbidden",
            ) from error
        except httpcore.ConnectError as error:
            raise TaskError(str(error), code="unreachable") from error
        failure: OSError | None = None
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, (address, server.port))
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:  # also a cancellation: no socket is left open
                sock.close()
                raise
            else:
                return sock
        reason = reason_of(failure) if failure else "the name has no address"
        raise TaskError(f"cannot connect to {label}: {reason}", code="unreachable")

    def _context(self) -> "ssl.SSLContext":
        if self._tls is not None:
            return self._tls()
        from activityctl.executors.destination import trusted_context

        return trusted_context()


def message_of(body: EmailBody, key: str) -> EmailMessage:
    """Return the message; its Message-ID follows from the key alone. Raises TaskError."""
    message = EmailMessage(policy=SMTP)
    sender = read_address(body.sender)
    message["From"] = sender
    for header, addresses in (("To", body.to), ("Cc", body.cc)):
        if addresses:
            message[header] = tuple(map(read_address, addresses))
    if body.reply_to is not None:
        message["Reply-To"] = read_address(body.reply_to)
    message["Subject"] = body.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    domain = sender.domain if sender.domain.isascii() else "activityctl.invalid"
    message["Message-ID"] = f"<{key}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if body.text is not None:
        message.set_content(_storable_text(body.text))
    if body.html is not None:
        add = message.add_alternative if body.text is not None else message.set_content
        add(_storable_text(body.html), subtype="html")
    for index, attachment in enumerate(body.attachments):
        main, _, sub = _content_type(attachment).partition("/")
        message.add_attachment(
            _content(attachment, index), maintype=main, subtype=sub, filename=attachment.name
        )
    if len(message.as_bytes(policy=SMTP)) > MAX_MESSAGE_BYTES:
        raise _final(f"the message is larger than {MAX_MESSAGE_BYTES:,} bytes", code="bad_input")
    return message


def _storable_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _content_type(attachment: Attachment) -> str:
    if attachment.content_type is not None:
        return attachment.content_type
    if attachment.text is not None:
        return "text/plain"
    return "application/octet-stream" if attachment.base64 is not None else "application/json"


def _content(attachment: Attachment, index: int) -> bytes:
    if attachment.text is not None:
        return attachment.text.encode("utf-8", "replace")
    if attachment.base64 is None:
        return json.dumps(attachment.json_value, ensure_ascii=False).encode("utf-8", "replace")
    try:
        return b64decode("".join(attachment.base64.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        where = f"email.attachments.{index}.base64"
        raise _final(f"{where}: is not Base64: {error}", code="bad_input") from error


def _spec(text: str) -> str:
    return read_address(text).addr_spec


def _read_url(text: str) -> _Server:
    try:
        url = urlsplit(text.strip())
        host, port = url.hostname, url.port
    except ValueError:
        host, port, url = None, None, urlsplit("")
    if url.scheme not in _PORTS or not host or url.path not in {"", "/"}:
        raise _final(f"the connection is not the URL of an SMTP server; {_HOW}", code="bad_input")
    if url.query not in {"", "tls=none"} or (url.query and url.scheme == "smtps"):
        raise _final(f"the URL of the connection has an unknown option; {_HOW}", code="bad_input")
    return _Server(
        host,
        port or _PORTS[url.scheme],
        is_tls=url.scheme == "smtps",
        is_plain=bool(url.query),
        user=None if url.username is None else unquote(url.username),
        password=None if url.password is None else unquote(url.password),
    )


def _refusal(address: str, code: int, message: str) -> dict[str, JsonValue]:
    return {"address": address, "code": code, "message": printable(message)[:_SHOWN]}


async def _tell_refusals(
    label: str,
    refused: Mapping[str, tuple[int, str]],
    accepted: Sequence[str],
    output: dict[str, JsonValue],
    call: TaskCall,
) -> None:
    """Fail if nobody gets the message, else say in the log who does not."""
    shown = "; ".join(
        f"{address}: {code} {printable(text)[:_SHOWN]}" for address, (code, text) in refused.items()
    )
    if not accepted:
        may_retry = all(code < _FIRST_FINAL_CODE for code, _ in refused.values())
        message = f"{label}: every recipient was refused: {shown}"
        raise TaskError(message, code="refused", retryable=may_retry, output=output)
    message = f"task {call.name}: the server refused {len(refused)} of the recipients: {shown}"
    await call.log("warning", message, {"refused": output["refused"]})


def _explained(label: str, error: Exception) -> TaskError:
    import ssl

    import aiosmtplib

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", None) or cause.reason or str(cause)
            return _final(f"{label}: TLS failed: {reason}", code="tls_error")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"{label}: {error.code} {printable(str(error.message))[:_SHOWN]}"
        code = "not_allowed" if isinstance(error, aiosmtplib.SMTPAuthenticationError) else "refused"
        return TaskError(text, code=code, retryable=error.code < _FIRST_FINAL_CODE)
    if isinstance(error, aiosmtplib.SMTPNotSupported | ValueError):
        return _final(f"{label}: {printable(str(error))[:_SHOWN]}", code="bad_response")
    return TaskError(f"{label}: {printable(reason_of(error))[:_SHOWN]}", code="unreachable")


def _final(message: str, *, code: str) -> TaskError:
    return TaskError(message, code=code, retryable=False)
