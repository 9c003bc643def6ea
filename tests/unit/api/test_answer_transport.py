"""What an answer is written to: headers with a length leave together with their body."""

import asyncio

import pytest

from activityctl.api.answer_transport import AnswerTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that remembers the pieces that are sent, and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.sent.append(b"(end)")


def opened() -> tuple[Wire, AnswerTransport]:
    wire = Wire()
    return wire, AnswerTransport(wire, wire.close)


@pytest.mark.parametrize("body", [b"hello", b""])
async def test_headers_and_body_are_one_piece(body: bytes):
    wire, transport = opened()
    transport.write(HEAD)
    assert wire.sent == []
    transport.write(body)
    transport.write(b"more")
    assert wire.sent == [HEAD + body, b"more"]
    await asyncio.sleep(0)
    assert wire.sent == [HEAD + body, b"more"]


async def test_headers_do_not_wait_for_a_late_body():
    wire, transport = opened()
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert wire.sent == [HEAD]
    transport.write(b"hello")
    assert wire.sent == [HEAD, b"hello"]


async def test_headers_of_an_endless_answer_leave_at_once():
    wire, transport = opened()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    transport.write(head)
    transport.write(b"14\r\n\r\nContent-Length: 1\r\n")
    assert wire.sent == [head, b"14\r\n\r\nContent-Length: 1\r\n"]


async def test_the_end_comes_after_the_headers():
    wire, transport = opened()
    transport.write(HEAD)
    transport.close()
    assert wire.sent == [HEAD, b"(end)"]
