"""Creates what the tasks and expressions of runs need: executors, sources, evaluators."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from activityctl.domain.cel.evaluator import evaluating_with
from activityctl.ports import ContextSource, Executor
from activityctl.settings import Settings
from activityctl.wiring.ports import Ports

if TYPE_CHECKING:
    from activityctl.adapters.evaluator.pool import EvaluatorPool
    from activityctl.domain.manifests.checks import Kinds

Executors = Mapping[str, Executor]


def known_kinds() -> "Kinds":
    """Return every kind of task and context source that this installation knows."""
    from activityctl.executors.registry import known_kinds as known

    return known()


@asynccontextmanager
async def open_executors(settings: Settings, ports: Ports) -> AsyncIterator[Executors]:
    """Create the executors of all task kinds, limited by the settings; close them at exit."""
    from activityctl.adapters.daemon_ports import DaemonPorts
    from activityctl.adapters.sql.client import DatabaseClient
    from activityctl.executors.code import CodeExecutor
    from activityctl.executors.command import CommandExecutor
    from activityctl.executors.emit import EmitExecutor
    from activityctl.executors.http import HttpExecutor
    from activityctl.executors.registry import added_task_kinds
    from activityctl.executors.sql import SqlExecutor

    built: dict[str, Executor] = {name: kind() for name, kind in added_task_kinds().items()}
    built["code"] = CodeExecutor()
    built["command"] = CommandExecutor(
        allowed=settings.allow_commands, base_environment=settings.task_environment
    )
    built["emit"] = EmitExecutor(ports.events, ports.runs)
    built["http"] = HttpExecutor(
        allow_http=settings.allow_http,
        allowed_networks=settings.allowed_networks,
        own_api=settings.api_url,
        own_ports=settings.own_ports,
        listening=DaemonPorts(settings.home).listening,
    )
    built["sql"] = SqlExecutor(DatabaseClient())
    try:
        yield built
    finally:
        for executor in built.values():
            await executor.close()


def build_sources(ports: Ports) -> Mapping[str, ContextSource]:
    """Create every context source."""
    from activityctl.adapters.sql.client import DatabaseClient
    from activityctl.executors.registry import added_context_kinds
    from activityctl.executors.runs import RunsSource
    from activityctl.executors.sql import SqlSource

    added = {name: kind() for name, kind in added_context_kinds().items()}
    own = (RunsSource(ports.runs), SqlSource(DatabaseClient()))
    return {**added, **{source.kind: source for source in own}}


def build_evaluators() -> "EvaluatorPool":
    """Return evaluator processes; each is started when it is first needed."""
    from activityctl.adapters.evaluator.pool import EvaluatorPool

    return EvaluatorPool()


@contextmanager
def evaluating() -> Iterator[None]:
    """Evaluate what may be much work in a process that can be stopped, within the block."""
    evaluators = build_evaluators()
    try:
        with evaluating_with(evaluators.session()):
            yield
    finally:
        evaluators.close()
