"""The `sql` task and context source: statements with bound parameters on a named connection."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from activityctl.domain.bodies.sql_text import (
    IDEMPOTENCY_KEY,
    missing_parameters,
    unused_parameters,
)
from activityctl.domain.values.model import Manifest, is_written
from activityctl.domain.values.secret_hosts import connection_host
from activityctl.domain.values.secret_ref import SecretRef, SecretText
from activityctl.domain.values.size import Size
from activityctl.domain.values.text import LITERAL_SCHEMA
from activityctl.ports import (
    ExecutorOutcome,
    JsonValue,
    SourceCall,
    SqlBounds,
    SqlClient,
    SqlCommand,
    SqlResult,
    TaskCall,
)

STOP_SECONDS: Final = 7.0
_LONGEST: Final = 100_000


def _named(value: str | SecretRef) -> str | SecretRef:
    if isinstance(value, str):
        raise ValueError("should be {secretRef: NAME}; the secret's value is the URL")  # noqa: TRY004 pydantic wants ValueError
    return value


def _parameter_name(name: str) -> str:
    if not (name.isidentifier() and name.isascii()):
        raise ValueError("is not a name of a parameter: use letters, digits and _")
    if name == IDEMPOTENCY_KEY:
        raise ValueError("is always there; remove it")
    return name


Connection = Annotated[SecretText, AfterValidator(_named)]
Parameters = dict[Annotated[str, AfterValidator(_parameter_name)], JsonValue]
_PARAMETERS: Final = "The values of the parameters. idempotency_key is always there."


class SqlStatement(Manifest):
    """One statement with its parameters."""

    statement: str = Field(
        description="The statement, with :name for each parameter, and without `${ … }`.",
        min_length=1,
        max_length=_LONGEST,
        examples=["UPDATE orders SET state = 'paid' WHERE id = :id"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    parameters: Parameters = Field(
        default={}, description=_PARAMETERS, examples=[{"id": "${ event.data.id }"}]
    )

    @model_validator(mode="after")
    def _fit(self, info: ValidationInfo) -> Self:
        _check_parameters(self.statement, self.parameters, written=is_written(info))
        return self


def _check_parameters(statement: str, given: Mapping[str, Any], *, written: bool) -> None:
    if missing := missing_parameters(statement, given):
        raise ValueError(f"parameters has no value for :{missing[0]}")
    if written and (unused := unused_parameters(statement, given)):
        raise ValueError(
            f"the statement does not use the parameter {unused[0]}; write :{unused[0]}"
        )


class _Query(Manifest):
    connection: Connection = Field(
        description="The secret whose value is the URL of the database.",
        examples=[{"secretRef": "orders-db"}],
    )
    max_rows: int = Field(
        default=1_000,
        description="The most rows of all statements; more is an error. Default: 1000.",
        ge=1,
        le=_LONGEST,
        examples=[100],
    )
    max_bytes: Size = Field(
        default=1 << 20,
        description="The most bytes of all rows, as JSON. Default: 1MiB.",
        ge=1,
        le=16 << 20,
        examples=["256KiB"],
    )


class SqlBody(_Query):
    """Runs one statement, or several in one transaction, on a named connection."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("statement", "statements")
            ]
        }
    )

    statement: str | None = Field(
        default=None,
        description="The statement, with :name for each parameter, and without `${ … }`.",
        min_length=1,
        max_length=_LONGEST,
        examples=["SELECT id, total FROM orders WHERE customer = :customer"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    parameters: Parameters = Field(
        default={}, description=_PARAMETERS, examples=[{"customer": "${ event.data.customer }"}]
    )
    statements: list[SqlStatement] | None = Field(
        default=None,
        description="Several statements, which run in this order in one transaction.",
        min_length=1,
        max_length=100,
        examples=[[{"statement": "DELETE FROM carts"}]],
    )

    @model_validator(mode="after")
    def _fit(self, info: ValidationInfo) -> Self:
        if (self.statement is None) == (self.statements is None):
            raise ValueError("exactly one of statement and statements is required")
        if self.statement is not None:
            _check_parameters(self.statement, self.parameters, written=is_written(info))
        elif self.parameters:
            raise ValueError("write parameters beside each statement of statements")
        return self


class SqlQueryBody(_Query):
    """Looks up rows with one query in a read-only transaction on a named connection."""

    statement: str = Field(
        description="The query, with :name for each parameter, and without `${ … }`.",
        min_length=1,
        max_length=_LONGEST,
        examples=["SELECT name, tier FROM customers WHERE id = :id"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    parameters: Parameters = Field(
        default={},
        description="The values of the parameters.",
        examples=[{"id": "${ event.data.customer }"}],
    )

    @model_validator(mode="after")
    def _fit(self, info: ValidationInfo) -> Self:
        _check_parameters(self.statement, self.parameters, written=is_written(info))
        return self


class SqlExecutor:
    """Runs the statements of each attempt in one transaction, on a connection of its own.

    Output: `rows` (maps by column) of the last statement, or null; `rowCount`, `durationMs`; with
    `statements` also `results`, each with `rows` and `rowCount`.
    """

    kind: ClassVar[str] = "sql"
    body: ClassVar[type[BaseModel]] = SqlBody
    stop_seconds: ClassVar[float] = STOP_SECONDS

    def __init__(self, client: SqlClient) -> None:
        self._client = client

    async def execute(self, body: SqlBody, call: TaskCall) -> ExecutorOutcome:
        """Run the statements. Raises TaskError; nothing is changed then."""
        started = time.monotonic()
        url = await call.secret(body.connection, host=connection_host)
        written: Sequence[Any] = body.statements or [body]
        key = {IDEMPOTENCY_KEY: call.idempotency_key}
        commands = [SqlCommand(item.statement, {**item.parameters, **key}) for item in written]
        bounds = SqlBounds(call.timeout_seconds, body.max_rows, body.max_bytes)
        async with call.outgoing(f"SQL {connection_host(url) or 'a database'}"):
            results = await self._client.run(url, commands, bounds)
        output = _output(results[-1])
        if body.statements is not None:
            output["results"] = [_output(found) for found in results]
        output["durationMs"] = round((time.monotonic() - started) * 1000)
        return ExecutorOutcome(output)

    async def close(self) -> None:
        """Do nothing: each attempt closes its connection."""


class SqlSource:
    """Returns the rows of a query as a list of maps; the server refuses changes."""

    kind: ClassVar[str] = "sql"
    body: ClassVar[type[BaseModel]] = SqlQueryBody

    def __init__(self, client: SqlClient) -> None:
        self._client = client

    async def resolve(self, body: SqlQueryBody, call: SourceCall) -> JsonValue:
        """Return the rows. Raises TaskError."""
        url = await call.secret(body.connection, host=connection_host)
        bounds = SqlBounds(call.timeout_seconds, body.max_rows, body.max_bytes, read_only=True)
        parameters = {**body.parameters, IDEMPOTENCY_KEY: call.run.id}
        async with call.outgoing(f"SQL {connection_host(url) or 'a database'}"):
            (found,) = await self._client.run(url, [SqlCommand(body.statement, parameters)], bounds)
        return list(found.rows or [])


def _output(found: SqlResult) -> dict[str, JsonValue]:
    return {"rows": None if found.rows is None else list(found.rows), "rowCount": found.count}
