"""Which errors of Postgres and Temporal pass, and which come again with every try."""

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from temporalio.api.common.v1 import GrpcStatus
from temporalio.service import RPCError, RPCStatusCode

from activityctl.adapters.postgres.database import translate_errors
from activityctl.adapters.postgres.failures import is_data_error, is_outage
from activityctl.adapters.temporal.rpc_errors import RpcFailure, error_of, meaning_of
from activityctl.errors import RefusedError, UnreachableError, UnstorableError

LASTING = [
    psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    psycopg.errors.ProgramLimitExceeded("index row size 4016 exceeds btree maximum 2704"),
    psycopg.errors.InvalidTextRepresentation("invalid input syntax"),
    psycopg.errors.NumericValueOutOfRange("integer out of range"),
]
OUTAGES = [
    psycopg.OperationalError("connection refused"),
    psycopg.errors.AdminShutdown("terminating connection"),
    psycopg.errors.DiskFull("could not extend file"),
    psycopg.errors.TooManyConnections("sorry, too many clients already"),
    psycopg.errors.QueryCanceled("canceling statement due to statement timeout"),
    PoolTimeout("couldn't get a connection after 5.00 sec"),
]


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_an_error_of_the_data_is_told_as_such(error: Exception):
    assert is_data_error(error)
    assert not is_outage(error)
    with pytest.raises(UnstorableError, match="Postgres refuses a value"), translate_errors():
        raise error


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_an_outage_of_postgres_may_pass(error: Exception):
    assert is_outage(error)
    with pytest.raises(UnreachableError), translate_errors():
        raise error


def test_a_bug_of_ours_is_neither():
    error = psycopg.errors.UniqueViolation("duplicate key")
    assert not is_outage(error)
    assert not is_data_error(error)


def rpc(status: RPCStatusCode, text: str = "", detail: str = "") -> RPCError:
    raw = GrpcStatus(code=status.value, message=text)
    if detail:
        raw.details.add(type_url=f"type.googleapis.com/temporal.api.errordetails.v1.{detail}")
    return RPCError(text, status, raw.SerializeToString())


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (rpc(RPCStatusCode.INVALID_ARGUMENT, "WorkflowId length exceeds limit."), "REFUSED"),
        (rpc(RPCStatusCode.FAILED_PRECONDITION), "REFUSED"),
        (rpc(RPCStatusCode.NOT_FOUND, "workflow not found", "NotFoundFailure"), "ABSENT"),
        (rpc(RPCStatusCode.NOT_FOUND, "", "NamespaceNotFoundFailure"), "DENIED"),
        (rpc(RPCStatusCode.FAILED_PRECONDITION, "", "NamespaceNotActiveFailure"), "DENIED"),
        (rpc(RPCStatusCode.INVALID_ARGUMENT, "key Namespace is too long"), "REFUSED"),
        (rpc(RPCStatusCode.PERMISSION_DENIED), "DENIED"),
        (rpc(RPCStatusCode.UNAUTHENTICATED), "DENIED"),
        (rpc(RPCStatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded"), "THROTTLED"),
        (
            rpc(RPCStatusCode.RESOURCE_EXHAUSTED, "received message larger than max (5 vs. 4)"),
            "REFUSED",
        ),
        (rpc(RPCStatusCode.UNAVAILABLE), "UNREACHABLE"),
        (rpc(RPCStatusCode.DEADLINE_EXCEEDED), "UNREACHABLE"),
        (rpc(RPCStatusCode.CANCELLED), "UNREACHABLE"),
        (rpc(RPCStatusCode.INTERNAL), "UNREACHABLE"),
    ],
)
def test_each_error_of_temporal_has_one_meaning(error: RPCError, meaning: str):
    assert meaning_of(error) is RpcFailure[meaning]
    kind = RefusedError if meaning == "REFUSED" else UnreachableError
    assert type(error_of(error, "Temporal could not start a run")) is kind
