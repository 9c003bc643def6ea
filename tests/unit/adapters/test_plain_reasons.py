"""Why a server does not answer is said in our words, not in those of a library."""

import psycopg
import pytest

from activityctl.adapters.postgres.refusals import failed_connection
from activityctl.adapters.temporal.client import _plain_reason as temporal_reason

REFUSED = (
    'connection failed: connection to server at "10.0.0.9", port 5432 failed: Connection refused\n'
    "\tIs the server running on that host and accepting TCP/IP connections?"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (REFUSED, "nothing listens at 10.0.0.9:5432"),
        (REFUSED.replace('"10.0.0.9"', '"db" (10.0.0.9)'), "nothing listens at db:5432"),
        (
            "failed to resolve host 'db.example': [Errno -2] Name or service not known",
            "the host db.example is not known",
        ),
        ('connection is bad: invalid port number: "99999"', "the port in the database URL"),
        ("connection timeout expired", "no answer in time"),
        ("FATAL:  the database system is starting up", "the server is starting"),
        ("terminating connection due to unexpected postmaster exit", "the server was killed"),
        ("couldn't get a connection after 5.00 sec", "no connection was free in time"),
        ("connection failed: something new\nDETAIL: more", "something new"),
    ],
)
def test_postgres_does_not_answer_for_a_plain_reason(said: str, reason: str):
    error = failed_connection(psycopg.OperationalError(said))
    assert error.message.startswith(f"Postgres does not answer: {reason}")
    assert "\n" not in error.message
    assert "Errno" not in error.message


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            'tonic::transport::Error(Transport, Os { code: 111, message: "Connection refused" })',
            "nothing listens there",
        ),
        (
            "tonic::transport::Error(Transport, ConnectError(dns error: failed to lookup address))",
            "the host is not known",
        ),
        ("tonic::transport::Error(Transport, Other)", "the connection failed"),
        ("invalid peer certificate: UnknownIssuer", "the TLS connection failed"),
        ("Request unauthorized.", "it refuses the login or the API key"),
    ],
)
def test_temporal_does_not_answer_for_a_plain_reason(said: str, reason: str):
    assert temporal_reason(RuntimeError(f"Failed client connect: {said}")) == reason


def test_temporal_does_not_answer_in_time():
    assert temporal_reason(TimeoutError()) == "no answer in time"


def test_a_full_disk_is_no_server_that_does_not_answer():
    error = failed_connection(psycopg.errors.DiskFull("could not extend file: no space\nHINT: x"))
    assert error.message == "the disk of Postgres is full: could not extend file: no space"
    assert (error.exit_code, error.retryable) == (7, True)
    assert str(error.hint).startswith("free space on the disk of the Postgres server")
