"""The `email` executor against a real SMTP server: messages, TLS, refusals, bad neighbours."""

import asyncio
import contextlib
import ipaddress
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from activityctl.domain.values.secret_hosts import connection_host
from activityctl.errors import TaskError
from activityctl.executors.email import EmailExecutor
from activityctl.steps.limited import parse_body
from support.commands import a_call
from support.outgoing import Outgoing

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PLAIN = {
    "connection": {"secretRef": "mail"},
    "from": "Reports <reports@example.com>",
    "to": "ada@example.com",
    "subject": "Grüße",
    "text": "All is well.\n.\nEnd",
}


class Post:
    """A mail server that keeps what it gets and refuses what it is told to."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}
        self.data_answer = "250 OK"

    async def handle_RCPT(  # noqa: N802 - the name and form of aiosmtpd
        self, _s: SMTP, _n: Session, envelope: Envelope, address: str, _o: list[str]
    ) -> str:
        if answer := self.refused.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _s: SMTP, _n: Session, envelope: Envelope) -> str:  # noqa: N802
        content = cast("bytes", envelope.content)
        parsed = message_from_bytes(content, policy=default)
        self.messages.append(cast("EmailMessage", parsed))
        self.recipients.append(list(envelope.rcpt_tos))
        return self.data_answer

    def log_in(
        self, _s: SMTP, _n: Session, _e: Envelope, _m: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"p@ss", handled=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-newkey", "rsa:2048"),
            *("-keyout", str(path), "-out", str(path) + ".crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(str(path) + ".crt").read_text())
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class Bench:
    def __init__(self, certificate: Path, stack: contextlib.AsyncExitStack) -> None:
        self.post = Post()
        self.logged: list[tuple[str, str]] = []
        self._certificate = certificate
        self._stack = stack

    async def serve(self, **options: Any) -> int:
        """Start a server; `implicit` has TLS from the start."""
        implicit = options.pop("implicit", False)
        context = server_tls(self._certificate)
        if not implicit and options.pop("starttls", True):
            options |= {"tls_context": context, "require_starttls": True}

        if "tls_context" in options:
            options["authenticator"] = self.post.log_in

        def protocol() -> SMTP:
            loop = asyncio.get_running_loop()
            return SMTP(self.post, hostname="localhost", loop=loop, **options)

        return await self.listen(protocol, context if implicit else None)

    async def listen(self, protocol: Any, tls: ssl.SSLContext | None = None) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
        self._stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def send(
        self, url: str, *, seconds: float = 60.0, attempt: int = 1, trusts: bool = True, **body: Any
    ) -> dict[str, Any]:
        async def log(level: str, message: str, _facts: Mapping[str, Any]) -> None:
            self.logged.append((level, message))

        async def secret(_value: object, *, host: object) -> str:
            assert host is connection_host
            return url

        def tls() -> ssl.SSLContext:
            return ssl.create_default_context(cafile=str(self._certificate) if trusts else None)

        executor = EmailExecutor(
            allow_plain=body.pop("allow_plain", False),
            allowed_networks=body.pop("networks", LOOPBACK),
            tls=tls,
        )
        outgoing = Outgoing()
        call = replace(a_call(seconds), attempt=attempt, log=log, secret=secret, outgoing=outgoing)
        parsed = parse_body(executor, {**PLAIN, **body})
        output = (await executor.execute(parsed, call)).output
        assert len(outgoing.ended) == 1
        assert outgoing.ended[0].startswith("SMTP ")
        return output

    async def failing(self, url: str, **options: Any) -> TaskError:
        with pytest.raises(TaskError) as caught:
            await self.send(url, **options)
        return caught.value


@pytest_asyncio.fixture(loop_scope="session")
async def bench(certificate: Path) -> AsyncIterator[Bench]:
    async with contextlib.AsyncExitStack() as stack:
        yield Bench(certificate, stack)
        await asyncio.sleep(0.05)  # the server closes its side


async def test_a_message_is_sent_with_starttls_and_a_login(bench: Bench):
    port = await bench.serve(auth_required=True)
    output = await bench.send(
        f"smtp://me%40example.com:p%40ss@localhost:{port}",
        to=["Ada Lovelace <ada@example.com>", "bob@example.com"],
        cc=["team@example.com"],
        bcc="audit@example.com",
        replyTo="help@example.com",
    )
    (message,) = bench.post.messages
    assert message["From"] == "Reports <reports@example.com>"
    assert message["To"] == "Ada Lovelace <ada@example.com>, bob@example.com"
    assert (message["Cc"], message["Reply-To"]) == ("team@example.com", "help@example.com")
    assert "audit" not in message.as_string()
    assert message["Subject"] == "Grüße"
    assert message["Message-ID"] == output["messageId"] == "<key-1@example.com>"
    assert message.get_content().replace("\r\n", "\n") == "All is well.\n.\nEnd\n"
    everybody = [f"{name}@example.com" for name in ("ada", "bob", "team", "audit")]
    assert bench.post.recipients == [everybody]
    assert bench.post.logins == [("me@example.com", "p@ss")]
    assert (output["accepted"], output["refused"]) == (everybody, [])


async def test_a_message_has_html_and_attachments_with_implicit_tls(bench: Bench):
    port = await bench.serve(implicit=True)
    await bench.send(
        f"smtps://localhost:{port}",
        html="<p>well</p>",
        attachments=[
            {"name": "ä.csv", "contentType": "text/csv", "text": "a;ö\n"},
            {"name": "raw.bin", "base64": "3q2+\n7w=="},
            {"name": "rows.json", "json": [{"id": 1}]},
        ],
    )
    (message,) = bench.post.messages
    body = message.get_body(("html",))
    assert body is not None
    assert body.get_content().strip() == "<p>well</p>"
    files = {
        part.get_filename(): (part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_attachments()
    }
    assert files == {
        "ä.csv": ("text/csv", "a;ö\n".encode()),
        "raw.bin": ("application/octet-stream", b"\xde\xad\xbe\xef"),
        "rows.json": ("application/json", b'[{"id": 1}]'),
    }


async def test_every_attempt_has_the_same_message_id(bench: Bench):
    port = await bench.serve()
    for attempt in (1, 2):
        await bench.send(f"smtp://localhost:{port}", attempt=attempt)
    assert len({message["Message-ID"] for message in bench.post.messages}) == 1


async def test_refusals_are_told_for_each_recipient(bench: Bench):
    port = await bench.serve()
    bench.post.refused = {"no@example.com": "550 5.1.1 unknown\x1b[31m"}
    both = ["no@example.com", "ada@example.com"]
    output = await bench.send(f"smtp://localhost:{port}", to=both)
    assert output["accepted"] == ["ada@example.com"]
    (refusal,) = output["refused"]
    assert (refusal["address"], refusal["code"]) == ("no@example.com", 550)
    assert "\x1b" not in refusal["message"]
    ((level, text),) = bench.logged
    assert level == "warning"
    assert "refused 1 of the recipients: no@example.com: 550" in text
    error = await bench.failing(f"smtp://localhost:{port}", to="no@example.com")
    assert (error.task_code, error.may_retry) == ("refused", False)
    assert "every recipient was refused" in str(error)
    bench.post.refused = {"no@example.com": "450 later"}
    assert (await bench.failing(f"smtp://localhost:{port}", to="no@example.com")).may_retry


@pytest.mark.parametrize(
    ("answer", "may_retry"), [("554 spam", False), ("451 try again later", True)]
)
async def test_a_refused_message_fails(bench: Bench, answer: str, may_retry: bool):  # noqa: FBT001
    port = await bench.serve()
    bench.post.data_answer = answer
    error = await bench.failing(f"smtp://localhost:{port}")
    assert (error.task_code, error.may_retry) == ("refused", may_retry)
    assert answer in str(error)


async def test_a_wrong_password_is_final_and_never_shown(bench: Bench):
    port = await bench.serve(auth_required=True)
    error = await bench.failing(f"smtp://me:wrong-one@localhost:{port}")
    assert (error.task_code, error.may_retry) == ("not_allowed", False)
    assert "wrong-one" not in str(error)


async def test_tls_is_required_and_checked(bench: Bench):
    plain = await bench.serve(starttls=False)
    error = await bench.failing(f"smtp://localhost:{plain}")
    assert error.task_code == "tls_error"
    assert "does not offer STARTTLS" in str(error)
    for url in (
        f"smtps://localhost:{await bench.serve(implicit=True)}",
        f"smtp://localhost:{await bench.serve()}",
    ):
        error = await bench.failing(url, trusts=False)
        assert (error.task_code, error.may_retry) == ("tls_error", False)
        assert "self-signed" in str(error) or "self signed" in str(error)
    error = await bench.failing(f"smtps://127.0.0.1:{await bench.serve(implicit=True)}")
    assert error.task_code == "tls_error"  # the certificate is for another name
    assert not bench.post.messages


async def test_without_tls_only_if_the_settings_allow_it(bench: Bench):
    port = await bench.serve(starttls=False)
    url = f"smtp://localhost:{port}?tls=none"
    error = await bench.failing(url)
    assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
    assert (await bench.send(url, allow_plain=True))["accepted"] == ["ada@example.com"]


async def test_private_addresses_are_refused(bench: Bench):
    port = await bench.serve()
    for host in ("localhost", "127.0.0.1"):
        error = await bench.failing(f"smtp://{host}:{port}", networks=())
        assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
        assert "ACTIVITYCTL_ALLOWED_NETWORKS" in str(error)


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "https://mail.example", "smtp://", "smtp://h/x", "smtp://h?tls=maybe"],
)
async def test_a_connection_that_is_no_server_is_bad_input(bench: Bench, url: str):
    assert (await bench.failing(url)).task_code == "bad_input"


async def test_nobody_there_is_unreachable(bench: Bench):
    error = await bench.failing("smtp://localhost:1")
    assert (error.task_code, error.may_retry) == ("unreachable", True)


class _Drips(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._task = asyncio.ensure_future(self._drip(cast("asyncio.Transport", transport)))

    async def _drip(self, transport: asyncio.Transport) -> None:
        while not transport.is_closing():
            transport.write(b"2")
            await asyncio.sleep(0.05)


class _Floods(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"220-" + b"x" * 4_000_000)


@pytest.mark.parametrize("neighbour", [asyncio.Protocol, _Drips, _Floods])
async def test_a_bad_server_is_given_up(bench: Bench, neighbour: type[asyncio.Protocol]):
    port = await bench.listen(neighbour)
    async with asyncio.timeout(60):
        error = await bench.failing(f"smtp://localhost:{port}", seconds=1.0)
    assert error.task_code in {"timeout", "unreachable", "bad_response", "refused"}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"subject": "a\r\nBcc: evil@example.com"}, "subject"),
        ({"from": "a@example.com\nBcc: b@example.com"}, "from"),
        ({"to": ["Ada\r\n <ada@example.com>"]}, "to"),
        ({"to": "not an address"}, "to"),
        ({"to": "a@b@c"}, "to"),
        ({"to": "a@example.com, b@example.com"}, "to"),
        ({"to": []}, "recipients"),
        ({"to": ["a@example.com"] * 101}, "to"),
        ({"replyTo": "x"}, "replyTo"),
        ({"text": None}, "text"),
        ({"attachments": [{"name": "../a", "text": ""}]}, "attachments.0.name"),
        ({"attachments": [{"name": "a\r\nX: y", "text": ""}]}, "attachments.0.name"),
        ({"attachments": [{"name": "a"}]}, "attachments.0"),
        ({"attachments": [{"name": "a", "text": "", "contentType": "a\r\nb"}]}, "contentType"),
        ({"attachments": [{"name": "a", "base64": "%%"}]}, "base64"),
        ({"attachments": [{"name": "a", "text": "x" * 21_000_000}]}, "larger than"),
        ({"connection": "smtp://mail.example"}, "connection"),
    ],
)
async def test_a_bad_body_is_bad_input(bench: Bench, body: dict[str, Any], where: str):
    error = await bench.failing("smtp://localhost:1", **body)
    assert error.task_code == "bad_input"
    assert where in str(error)
