"""What is known of a small run when an attempt of it begins, so that its end need not read it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from activityctl.adapters.postgres.database import Connection
from activityctl.adapters.postgres.rows import RUN_COLUMNS, TASK_COLUMNS, run_of, task_of
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import RunState
from activityctl.ports import KnownRun

_MOST_TASKS: Final = 10
_MOST_BYTES: Final = 32_768
"""More is not kept in memory while the attempt is at work. Compressed data counts as it is."""

_IS_SMALL: Final = f"""
    (SELECT count(*) <= {_MOST_TASKS} AND coalesce(sum(coalesce(pg_column_size(o.input), 0)
        + coalesce(pg_column_size(o.output), 0)), 0) <= {_MOST_BYTES}
     FROM tasks o WHERE o.run_id = r.id)
    AND coalesce(pg_column_size(r.events), 0) + pg_column_size(r.context)
        + pg_column_size(r.params) + pg_column_size(r.state) + pg_column_size(r.payload)
        <= {_MOST_BYTES}"""
SELECT_KNOWN_RUNS: Final = f"""
    SELECT {RUN_COLUMNS}, r.xmin::text AS version FROM runs r
    JOIN subscriptions s ON s.id = r.subscription_id
    WHERE r.id IN (SELECT run_id FROM tasks WHERE id = ANY(%(reading)s)) AND {_IS_SMALL}"""
SELECT_KNOWN_TASKS: Final = f"""
    SELECT {TASK_COLUMNS} FROM tasks t JOIN runs r ON r.id = t.run_id
    WHERE r.id IN (SELECT run_id FROM tasks WHERE id = ANY(%(reading)s)) AND {_IS_SMALL}
    ORDER BY t.run_id, t.created_at, t.name, t.index"""
# Every decision about a run writes its row, and then the row has another xmin. Else the cast fails,
# and with it the transaction.
# Several runs are not waited for: if one is locked, each is written by itself.
_REQUIRE_UNCHANGED: Final = """
    SELECT (CASE count(*) WHEN %(count)s THEN 'true' ELSE
        'the run has changed meanwhile and is decided again: ' || %(first)s END)::boolean
    FROM (
        SELECT FROM unnest(%(ids)s::text[], %(versions)s::text[]) AS k(id, version)
        JOIN runs r ON r.id = k.id AND r.xmin::text = k.version
        ORDER BY r.id FOR UPDATE OF r {skip}) AS same"""

_REQUIRE_SUBSCRIPTIONS: Final = """
    SELECT (CASE count(*) WHEN %(count)s THEN 'true' ELSE
        'the subscription has changed meanwhile and is read again: ' || %(first)s END)::boolean
    FROM unnest(%(ids)s::text[], %(versions)s::text[]) AS k(id, version)
    JOIN subscriptions s ON s.id = k.id AND s.xmin::text = k.version"""


def known_run(
    row: Mapping[str, Any] | None,
    tasks: list[dict[str, Any]],
    specs: Mapping[str, DefinitionSpec],
) -> KnownRun | None:
    """Return what these rows say; None if the run is not small or its spec is not at hand."""
    spec = specs.get(row["revision_id"]) if row else None
    if row is None or spec is None:
        return None
    run = run_of(row)
    state = RunState(run, spec.for_trigger(run.trigger), tuple(map(task_of, tasks)))
    return KnownRun(state, row["version"])


async def require_unchanged(connection: Connection, known: Sequence[KnownRun]) -> None:
    """Let the transaction fail with an error of its data if one of the runs has changed since."""
    values = {
        "ids": [each.state.run.id for each in known],
        "versions": [each.version for each in known],
        "count": len(known),
        "first": known[0].state.run.id,
    }
    skip = "SKIP LOCKED" if len(known) > 1 else ""
    await connection.execute(_REQUIRE_UNCHANGED.format(skip=skip).encode(), values)


async def require_subscriptions(
    connection: Connection, versions: Sequence[tuple[str, str]]
) -> None:
    """Let the transaction fail with an error of its data if one of them has changed since."""
    if not versions:
        return
    values = {
        "ids": [owner for owner, _ in versions],
        "versions": [version for _, version in versions],
        "count": len(versions),
        "first": versions[0][0],
    }
    await connection.execute(_REQUIRE_SUBSCRIPTIONS.encode(), values)
