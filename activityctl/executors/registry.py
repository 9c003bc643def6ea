"""The list of task kinds and context sources; packages add more by entry points."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from activityctl.domain.manifests.checks import Kinds
from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS
from activityctl.errors import InvalidInputError
from activityctl.executors.ai import AiExecutor
from activityctl.executors.code import CodeExecutor
from activityctl.executors.command import CommandExecutor
from activityctl.executors.email import EmailExecutor
from activityctl.executors.emit import EmitExecutor
from activityctl.executors.env import EnvSource
from activityctl.executors.events import EventsSource
from activityctl.executors.file import FileSource
from activityctl.executors.http import HttpExecutor, HttpSource
from activityctl.executors.python import PythonExecutor
from activityctl.executors.runs import RunsSource
from activityctl.executors.sql import SqlExecutor, SqlSource
from activityctl.executors.state import StateSource
from activityctl.executors.webhook import WebhookExecutor
from activityctl.ports import ContextSource, Executor

TASK_KINDS: Final[Mapping[str, type[Executor]]] = {
    AiExecutor.kind: AiExecutor,
    CodeExecutor.kind: CodeExecutor,
    CommandExecutor.kind: CommandExecutor,
    EmailExecutor.kind: EmailExecutor,
    EmitExecutor.kind: EmitExecutor,
    HttpExecutor.kind: HttpExecutor,
    PythonExecutor.kind: PythonExecutor,
    SqlExecutor.kind: SqlExecutor,
    WebhookExecutor.kind: WebhookExecutor,
}
CONTEXT_KINDS: Final[Mapping[str, type[ContextSource]]] = {
    EnvSource.kind: EnvSource,
    EventsSource.kind: EventsSource,
    FileSource.kind: FileSource,
    HttpSource.kind: HttpSource,
    RunsSource.kind: RunsSource,
    SqlSource.kind: SqlSource,
    StateSource.kind: StateSource,
}
TASK_GROUP: Final = "activityctl.task_kinds"
CONTEXT_GROUP: Final = "activityctl.context_sources"


def added_task_kinds() -> dict[str, type[Executor]]:
    """Return the executors that installed packages add; they are created without arguments."""
    return {point.name: _loaded(point) for point in entry_points(group=TASK_GROUP)}


def added_context_kinds() -> dict[str, type[ContextSource]]:
    """Return the context sources that installed packages add."""
    return {point.name: _loaded(point) for point in entry_points(group=CONTEXT_GROUP)}


def known_kinds() -> Kinds:
    """Return every kind that manifests may use here, with the model of its body."""
    tasks = {**added_task_kinds(), **TASK_KINDS}
    contexts = {**added_context_kinds(), **CONTEXT_KINDS}
    return Kinds(
        {**ENGINE_KINDS, **{kind: executor.body for kind, executor in tasks.items()}},
        {kind: source.body for kind, source in contexts.items()},
        frozenset(
            kind for kind, executor in tasks.items() if getattr(executor, "reports_progress", False)
        ),
    )


def _loaded(point: EntryPoint) -> Any:
    kind = point.load()
    if getattr(kind, "kind", None) != point.name or not hasattr(kind, "body"):
        raise InvalidInputError(
            f"entry point {point.name} of {point.group}: {point.value} is not such a kind",
            hint=f"give the class kind = {point.name!r} and a pydantic model as body",
        )
    return kind
